"""Downloads against a server on this machine. Run: pytest tests/unit/data/test_download.py"""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cogment_pipe.data.loaders import download
from cogment_pipe.errors import CogmentError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; `server.cut` bytes of the first answer only, `server.ranges` if asked."""

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        if self.path == "/gone.bin":
            self.send_error(404)
            return
        start = 0
        if self.server.ranges and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = self.server.cut or len(CONTENT)
        self.server.cut = None
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *arguments):
        """Silence."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked, found.cut, found.ranges = [], None, True
        found.url = f"http://127.0.0.1:{found.server_address[1]}/data.bin"
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_file_is_fetched_once(server, tmp_path):
    """Promise: what is there with the right hash is not fetched again, and needs no network."""
    path = download.fetch("mine", server.url, DIGEST, tmp_path)
    assert path == tmp_path / "data.bin" and path.read_bytes() == CONTENT
    assert download.fetch("mine", server.url, DIGEST, tmp_path) == path
    assert server.asked == [None]
    assert [p.name for p in tmp_path.iterdir()] == ["data.bin"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_transfer_goes_on(server, tmp_path, ranges):
    """Promise: a cut transfer never gets the final name; the next call completes it."""
    server.cut, server.ranges = 300_000, ranges
    with pytest.raises(CogmentError, match="cannot download"):
        download.fetch("mine", server.url, DIGEST, tmp_path)
    assert not (tmp_path / "data.bin").exists()
    have = (tmp_path / "data.bin.part").stat().st_size
    assert 0 < have <= 300_000
    assert download.fetch("mine", server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={have}-"


def test_a_complete_part_is_taken(server, tmp_path):
    """Promise: a transfer that ended just before the rename is finished without bytes."""
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert download.fetch("mine", server.url, DIGEST, tmp_path).read_bytes() == CONTENT


def test_another_hash_is_refused(server, tmp_path):
    """Promise: bytes other than the pinned ones are never used."""
    with pytest.raises(CogmentError, match="the config says 0000"):
        download.fetch("mine", server.url, "0" * 64, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data.bin").write_bytes(b"other")
    with pytest.raises(CogmentError, match="delete it or mend"):
        download.fetch("mine", server.url, DIGEST, tmp_path)


def test_without_a_network_the_error_says_where_to_put_the_file(server, tmp_path):
    """Promise: offline, one line names the file, its place and its hash."""
    gone = server.url.replace("data.bin", "gone.bin")
    with pytest.raises(CogmentError, match="404"):
        download.fetch("mine", gone, DIGEST, tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(CogmentError) as error:
        download.fetch("mine", server.url, DIGEST, tmp_path)
    text = str(error.value)
    assert str(tmp_path / "data.bin") in text and DIGEST in text and "\n" not in text
    with pytest.raises(CogmentError, match="not an http"):
        download.fetch("mine", "file:///etc/passwd", DIGEST, tmp_path)
