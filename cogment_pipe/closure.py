"""Hash of the code that a rule runs: the token streams of its static import closure.

Comments, docstrings and layout do not count, so only an edit that can change behaviour makes a
rule run again. The closure stays inside this package; the package's own `__init__` (lazy names
only) is left out, since it would pull in everything.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from cogment_pipe.atomic import write_bytes
from cogment_pipe.errors import CogmentError

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parent
# Part of the store's keys: raise it when the hashing below changes.
VERSION = 1
DOTTED = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
SPELLED = {tokenize.INDENT: "<indent>", tokenize.DEDENT: "<dedent>", tokenize.NEWLINE: "<line>"}


class CodeIndex:
    """Digest and imports of each module, read once; with a `store`, once per content.

    Tokenizing the package takes longer than all the rest of a dry run, and the store's key is the
    content itself, so an entry is never out of date.
    """

    def __init__(self, root: Path = ROOT, store: Path | None = None) -> None:
        self.root, self.store = root, store
        # Looked up some ten thousand times for a dry run: once from disk, then from memory.
        self._paths: dict[str, Path | None] = {}
        self._entries: dict[str, list] = {}
        self._new = False
        if store is not None and store.is_file():
            try:
                self._entries = json.loads(store.read_text(encoding="utf-8"))
            except ValueError:
                self._entries = {}  # a damaged store costs time, never a wrong answer

    def module_hashes(self, *entries: str) -> dict[str, str]:
        """Digest of each module in the import closure, by dotted name.

        Raises CogmentError for an entry that is no module: a rename must not hash as nothing.
        """
        for entry in entries:
            if self._path(entry) is None:
                raise CogmentError(f"no module {entry} in {self.root}; has it been renamed?")
        waiting, found = list(entries), {}
        while waiting:
            name = waiting.pop()
            if name in found or (path := self._path(name)) is None:
                continue
            found[name], names = self._entry(name, path)
            waiting += self._modules(names)
        return dict(sorted(found.items()))

    def source_hash(self, *entries: str) -> str:
        """One digest of every module that `entries` (dotted names) import, directly or not."""
        digest = hashlib.sha256()
        for name, value in sorted(self.module_hashes(*entries).items()):
            digest.update(f"{name}={value}\n".encode())
        return digest.hexdigest()

    def save(self) -> None:
        """Keeps the store for the next call."""
        if self.store is not None and self._new:
            write_bytes(self.store, json.dumps(self._entries).encode())

    def _path(self, name: str) -> Path | None:
        if name not in self._paths:
            self._paths[name] = module_path(name, self.root)
        return self._paths[name]

    def _modules(self, names: Iterable[str]) -> list[str]:
        """Those names that are modules of this package, with the packages they lie in."""
        modules = []
        for target in names:
            parts = target.split(".") if target.startswith(PACKAGE) else []
            # Importing a.b.c runs a.b's __init__ too.
            for stop in range(2, len(parts) + 1):
                prefix = ".".join(parts[:stop])
                if self._path(prefix) is not None:
                    modules.append(prefix)
        return modules

    def _entry(self, name: str, path: Path) -> list:
        content = path.read_bytes()
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        version = f"{VERSION} {sys.version_info[:2]} {package}\0".encode()
        key = hashlib.sha256(version + content).hexdigest()
        if key not in self._entries:
            text = content.decode("utf-8")
            self._entries[key] = [_text_hash(text), sorted(set(_names(ast.parse(text), package)))]
            self._new = True
        return self._entries[key]


def source_hash(*entries: str, root: Path = ROOT) -> str:
    """`CodeIndex.source_hash` without a store."""
    return CodeIndex(root).source_hash(*entries)


def module_hashes(*entries: str, root: Path = ROOT) -> dict[str, str]:
    """`CodeIndex.module_hashes` without a store."""
    return CodeIndex(root).module_hashes(*entries)


def imported(name: str, root: Path = ROOT) -> list[str]:
    """Dotted names of all that the module `name` imports anywhere, of any package.

    Imports inside functions count; those under `if TYPE_CHECKING` do not, as they never run.
    """
    path = module_path(name, root)
    if path is None:
        raise CogmentError(f"no module {name} in {root}")
    return CodeIndex(root)._entry(name, path)[1]


def module_path(name: str, root: Path = ROOT) -> Path | None:
    """File of a module of this package, or None where there is none."""
    if not name.startswith(PACKAGE + ".") or "__init__" in name:
        return None
    base = root.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _names(tree: ast.AST, package: str) -> Iterator[str]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
    if any(isinstance(node, ast.Call) and _imports_by_name(node) for node in ast.walk(tree)):
        # Names in a table count: too wide a closure costs a rerun, too narrow a wrong result.
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and DOTTED.fullmatch(str(node.value)):
                yield from (node.value, f"{package}.{node.value}", f"{PACKAGE}.{node.value}")


def _imports_by_name(call: ast.Call) -> bool:
    return getattr(call.func, "attr", getattr(call.func, "id", "")) == "import_module"


def _text_hash(text: str) -> str:
    digest = hashlib.sha256()
    for token in _tokens(text):
        digest.update(token.encode() + b"\0")
    return digest.hexdigest()


def _tokens(text: str) -> Iterator[str]:
    """Tokens that can change behaviour, spelled alike by every Python from 3.11 on."""
    statement: list[str] = []
    strings_only = True
    for kind, spelled in _joined(text):
        if kind in LAYOUT:
            continue
        if kind not in SPELLED:
            statement.append(spelled)
            strings_only = strings_only and kind == tokenize.STRING
            continue
        # A statement of nothing but strings is a docstring.
        if not (kind == tokenize.NEWLINE and strings_only):
            yield from statement
            yield SPELLED[kind]
        if kind == tokenize.NEWLINE or statement:
            statement, strings_only = [], True


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """(kind, text) of each token; f-strings in one piece, as Python 3.11 sees them."""
    lines = text.splitlines(keepends=True)
    depth, start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name in {"FSTRING_START", "TSTRING_START"}:
            start = token.start if depth == 0 else start
            depth += 1
        elif name in {"FSTRING_END", "TSTRING_END"}:
            depth -= 1
            if depth == 0:
                yield tokenize.STRING, _between(lines, start, token.end)
        elif depth == 0:
            yield token.type, token.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Source text from `start` to `end`, both (row from 1, column)."""
    rows = lines[start[0] - 1 : end[0]]
    rows[-1] = rows[-1][: end[1]]
    rows[0] = rows[0][start[1] :]
    return "".join(rows)
