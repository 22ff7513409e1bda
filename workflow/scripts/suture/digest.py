"""A digest of the code that a command reaches, so that editing it reruns what it made.

Snakemake notices an edited rule, not an edited library. Each rule therefore
carries ``code(<its command>)`` as a parameter. The digest is taken of syntax
trees without docstrings: a comment or a reformatting changes nothing.
"""

from __future__ import annotations

import ast
import atexit
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from suture import files

SCRIPTS = Path(__file__).parents[1]
Docstrings = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code(command: str, *modules: str) -> str:
    """Returns the digest of ``workflow/scripts/<command>.py`` and all of ours that it imports.

    Args:
        command: name of the script, without its suffix.
        modules: further modules, for what is found by name at run time:
            ``suture.datasets.cataract1k``.
    """
    reached: dict[Path, str] = {}
    waiting = [SCRIPTS / f"{command}.py", *(file_of(m) for m in modules)]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached[path] = _read(path)[0]
        waiting += _ours(path)
    lines = sorted(f"{path.relative_to(SCRIPTS)} {digest}" for path, digest in reached.items())
    return join(*lines)


def module(name: str) -> str:
    """Returns the digest of one module of ours, without what it imports."""
    return _read(file_of(name))[0]


def text(*paths: Path) -> str:
    """Returns a digest of files that are no Python: templates, style sheets."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(paths))).hexdigest()[:16]


def join(*digests: str) -> str:
    """Returns one digest for several, in their order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def imports(path: Path) -> frozenset[str]:
    """Names the modules that a file imports anywhere in it, also inside functions."""
    return _read(path)[1]


def file_of(module: str) -> Path:
    """Returns where a module of ours lies, whether or not it exists."""
    base = SCRIPTS / Path(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def remember(path: Path) -> None:
    """Keeps what was read of each file in ``path``, for the next run; read again where size or mtime differ.

    The Snakefile is read at the start of every job: parsing the library each time would cost a second.
    """
    if path.is_file():
        _known.update(files.read_json(path))
    before = dict(_known)
    atexit.register(lambda: files.write_text(path, json.dumps(_known, sort_keys=True)) if _known != before else None)


_known: dict[str, dict[str, Any]] = {}


@cache
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """Returns the digest of a file's tree without docstrings, and what it imports."""
    stat = path.stat()
    now = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    known = _known.get(str(path), {})
    if {key: known.get(key) for key in now} != now:
        digest, imported = _parse(path)
        known = _known[str(path)] = now | {"digest": digest, "imports": sorted(imported)}
    return known["digest"], frozenset(known["imports"])


def _parse(path: Path) -> tuple[str, set[str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, Docstrings) and ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [ast.Pass()]
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # `from suture import files` names a module, `from suture.files import x` an attribute:
            # both readings are kept, the one that is no file is passed over.
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


@cache
def _ours(path: Path) -> list[Path]:
    found = (file_of(name) for name in sorted(imports(path)) if name.split(".")[0] == "suture")
    return [file for file in found if file.is_file()]
