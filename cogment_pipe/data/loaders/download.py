"""Download of a corpus by pinned address and sha256: resumable, atomic, with a progress bar.

What is there with the right hash is never fetched again; anything else never gets the final name.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tqdm import tqdm

from cogment_pipe.data.storage import sha256_file
from cogment_pipe.errors import CogmentError

CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte


def fetch(corpus: str, url: str, sha256: str, folder: Path) -> Path:
    """The file behind `url`, in `folder`; fetched if it is not there with this hash.

    A broken transfer leaves `NAME.part`, from which the next call goes on. Raises CogmentError
    where there is no network (naming the file to put in place) or where the hash differs.
    """
    parts = urlsplit(url)
    name = Path(unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or not name:
        raise CogmentError(f"corpora.{corpus}: {url} is not an http(s) address of a file")
    target, part = Path(folder) / name, Path(folder) / f"{name}.part"
    if target.is_file():
        if sha256_file(target) == sha256:
            return target
        raise CogmentError(
            f"{target}: sha256 is not {sha256[:12]}... of corpora.{corpus}; delete it or mend the "
            "config"
        )
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        _transfer(url, part, name)
    except (urllib.error.URLError, OSError, EOFError) as error:
        http = isinstance(error, urllib.error.HTTPError)
        reason = f"HTTP {error.code}" if http else getattr(error, "reason", error)
        raise CogmentError(
            f"corpora.{corpus}: cannot download {url} ({reason}); without a network, put the file "
            f"at {target} (sha256 {sha256})"
        ) from None
    found = sha256_file(part)
    if found != sha256:
        part.unlink()
        raise CogmentError(
            f"corpora.{corpus}: {url} has sha256 {found}, the config says {sha256}; "
            "nothing was kept"
        )
    os.replace(part, target)
    return target


def _transfer(url: str, part: Path, name: str) -> None:
    """Append what is missing to `part`; starts over where the server cannot continue."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing: the hash decides
            return
        raise
    with answer:
        resumed = have > 0 and answer.status == 206
        length = answer.headers.get("Content-Length")
        total = int(length) + (have if resumed else 0) if length else None
        with (
            part.open("ab" if resumed else "wb") as handle,
            tqdm(
                total=total,
                initial=have if resumed else 0,
                unit="B",
                unit_scale=True,
                desc=name,
                disable=None,
            ) as bar,
        ):
            while block := answer.read(CHUNK):
                handle.write(block)
                bar.update(len(block))
            handle.flush()
            os.fsync(handle.fileno())
        if total is not None and part.stat().st_size < total:
            raise EOFError(f"connection closed after {part.stat().st_size} of {total} bytes")
