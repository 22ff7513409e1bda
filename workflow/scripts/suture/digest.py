"""A digest of the code that a command reaches, so that editing it reruns what it made.

Snakemake notices an edited rule, not an edited library. Each rule therefore
carries ``code(<its command>)`` as a parameter. The digest is taken of syntax
trees without docstrings: a comment or a reformatting changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

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
        reached[path], imports = _read(path)
        waiting += imports
    lines = sorted(f"{path.relative_to(SCRIPTS)} {digest}" for path, digest in reached.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def text(*paths: Path) -> str:
    """Returns a digest of files that are no Python: templates, style sheets."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(paths))).hexdigest()[:16]


def imports(path: Path) -> set[str]:
    """Names the modules that a file imports anywhere in it, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # `from suture import files` names a module, `from suture.files import x` an attribute:
            # both readings are kept, the one that is no file is passed over.
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def _read(path: Path) -> tuple[str, list[Path]]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, Docstrings) and ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [ast.Pass()]
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    ours = [file_of(name) for name in sorted(imports(path)) if name.split(".")[0] == "suture"]
    return digest, [file for file in ours if file.is_file()]


def file_of(module: str) -> Path:
    """Returns where a module of ours lies, whether or not it exists."""
    base = SCRIPTS / Path(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
