"""The page's own files: template, style and script, read from the package.

They are no Python modules, so a hash of the code's imports does not see them; `assets_digest` does.
"""

from __future__ import annotations

import hashlib
from importlib import resources

FOLDER = "templates"


def read_asset(name: str) -> str:
    """Text of one file of the page."""
    folder = resources.files(__package__) / FOLDER
    return (folder / name).read_text(encoding="utf-8")


def assets_digest() -> str:
    """sha256 over names and contents of all the page's files."""
    digest = hashlib.sha256()
    files = (resources.files(__package__) / FOLDER).iterdir()
    for name in sorted(file.name for file in files if file.is_file()):
        digest.update(f"{name}\0{read_asset(name)}\0".encode())
    return digest.hexdigest()
