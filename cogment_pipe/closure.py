"""Hash of the code that a rule runs: the token streams of its static import closure.

Comments, docstrings and layout do not count, so only an edit that can change behaviour makes a
rule run again. The closure stays inside this package; the package's own `__init__` (lazy names
only) is left out, since it would pull in everything.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cogment_pipe.errors import CogmentError

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parent
DOTTED = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
SPELLED = {tokenize.INDENT: "<indent>", tokenize.DEDENT: "<dedent>", tokenize.NEWLINE: "<line>"}


def source_hash(*entries: str, root: Path = ROOT) -> str:
    """One digest of every module that `entries` (dotted names) import, directly or not."""
    digest = hashlib.sha256()
    for name, value in sorted(module_hashes(*entries, root=root).items()):
        digest.update(f"{name}={value}\n".encode())
    return digest.hexdigest()


def module_hashes(*entries: str, root: Path = ROOT) -> dict[str, str]:
    """Digest of each module in the import closure, by dotted name.

    Raises CogmentError for an entry that is no module: a rename must not hash as nothing.
    """
    for entry in entries:
        if module_path(entry, root) is None:
            raise CogmentError(f"no module {entry} in {root}; has it been renamed?")
    waiting, found = list(entries), {}
    while waiting:
        name = waiting.pop()
        path = module_path(name, root)
        if name in found or path is None:
            continue
        text = path.read_text(encoding="utf-8")
        found[name] = _text_hash(text)
        waiting += imported(text, name, path, root)
    return dict(sorted(found.items()))


def module_path(name: str, root: Path = ROOT) -> Path | None:
    """File of a module of this package, or None where there is none."""
    if not name.startswith(PACKAGE + ".") or "__init__" in name:
        return None
    base = root.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _imports(text: str, package: str) -> tuple[str, ...]:
    return tuple(_names(ast.parse(text), package))


def imported(text: str, name: str, path: Path, root: Path = ROOT) -> list[str]:
    """Dotted names of this package's modules that the source of `name` imports anywhere.

    Imports inside functions count; those under `if TYPE_CHECKING` do not, as they never run.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    modules = []
    for target in _imports(text, package):
        parts = target.split(".")
        # Importing a.b.c runs a.b's __init__ too.
        for stop in range(2, len(parts) + 1):
            prefix = ".".join(parts[:stop])
            if module_path(prefix, root) is not None:
                modules.append(prefix)
    return list(dict.fromkeys(modules))


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


@cache
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
