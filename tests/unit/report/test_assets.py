"""The page's own files count as code of the report."""

from __future__ import annotations

import re

from cogment_pipe.report import assets


def test_digest_covers_every_file(monkeypatch) -> None:
    """An edit of template, style or script changes the digest, so that the page is made again."""
    before = assets.assets_digest()
    assert before == assets.assets_digest()
    for name in ("page.html.j2", "macros.html.j2", "report.css", "report.js"):
        with monkeypatch.context() as patch:
            read = assets.read_asset
            extra = name
            patch.setattr(assets, "read_asset", lambda n, e=extra, r=read: r(n) + " " * (n == e))
            assert assets.assets_digest() != before


def test_styles_are_defined() -> None:
    """Every colour that figures and style use is defined, in light and in dark."""
    style = assets.read_asset("report.css")
    light, dark = style.split("@media screen and (prefers-color-scheme: dark)", 1)
    for name in set(re.findall(r"var\(--(c\d|ink|muted|rule|good|bad|warn|wall|way)\)", style)):
        assert f"--{name}:" in light
        assert f"--{name}:" in dark
