"""The page in a real browser: no console message, nothing leaves the file, no sideways scroll."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PROBE = """
<body style="margin:0"><iframe id="f" style="border:0;width:{width}px;height:900px"
 srcdoc=""></iframe><pre id="said">waiting</pre><script>
const frame = document.getElementById("f");
frame.onload = () => {{
  const page = frame.contentDocument;
  const figures = [...page.querySelectorAll("svg[role=img]")].filter(
    (svg) => !svg.closest("details:not([open])"));
  const hidden = figures.filter((svg) => svg.getBoundingClientRect().width < 20).length;
  const wide = page.documentElement.scrollWidth;
  const cut = [...page.querySelectorAll(".scroll")].filter(
    (box) => !box.closest("details:not([open])") && box.scrollWidth > box.clientWidth + 1).length;
  document.getElementById("said").textContent =
    `figures=${{figures.length}} hidden=${{hidden}} ` +
    `wide=${{wide <= {width} ? "fits" : wide}} cut=${{cut}}`;
}};
frame.src = "index.html"; frame.removeAttribute("srcdoc");
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH (Debian package chromium)")
@pytest.mark.parametrize("width", [400, 1400])
def test_page_in_a_browser(page: str, tmp_path: Path, width: int) -> None:
    """At a phone's and a desk's width all figures show, and the browser has nothing to say."""
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "probe.html").write_text(PROBE.format(width=width))
    done = subprocess.run(
        [
            str(BROWSER),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
            *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000"),
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width + 50},1000",
            "--dump-dom",
            (tmp_path / "probe.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = done.stdout.partition('<pre id="said">')[2].partition("</pre>")[0]
    assert "hidden=0" in said, said
    assert "wide=fits" in said, said
    assert width < 1000 or said.endswith("cut=0"), said  # on a phone wide tables are pushed aside
    assert int(said.partition("figures=")[2].split()[0]) > 100
    assert "CONSOLE" not in done.stderr, done.stderr
