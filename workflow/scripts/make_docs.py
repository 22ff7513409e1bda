"""Writes what is generated from the config model: the JSON Schema and the table of keys in config/README.md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from suture import files
from suture.cli import Parser, run
from suture.config.model import Config
from suture.errors import SutureError

ROOT = Path(__file__).parents[2]
INTRODUCTION = """# Configuration

`config.yaml` in the root is the demo and is read when no `--configfile` is given; the files here are complete runs:
`snakemake --configfile config/<name>.yaml`. A single key is set with `--config key=value`. A key that is not in this
table is refused, with the nearest right one named.

<!-- The table is made by `make docs` from workflow/scripts/suture/config/. -->

| key | default | meaning |
|---|---|---|
"""


def parser() -> Parser:
    flags = Parser(__doc__)
    flags.add_argument("--check", action="store_true", help="write nothing; exit 2 where a file is not as it should be")
    return flags


def table(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Returns the rows of a section's keys and, below each, of the sections it holds."""
    rows = []
    for name, field in section.model_fields.items():
        key, inner = prefix + name, _inner_section(field.annotation)
        many = get_origin(field.annotation) is dict
        rows.append(f"| `{key}` | {_default(field)} | {_cell(field.description or '')}{_allowed(field.annotation)} |")
        if inner is not None:
            rows += table(inner, f"{key}.<name>." if many else f"{key}.")
    return rows


def _inner_section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner_section(part) for part in get_args(annotation))
    return next((section for section in found if section is not None), None)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined and field.default_factory is None:
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel) or value is None or value == {}:
        return ""
    return f"`{json.dumps(value)}`"


def _allowed(annotation: Any) -> str:
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is list:
            return _allowed(get_args(part)[0])
        if get_origin(part) is not None and all(isinstance(choice, str) for choice in get_args(part)):
            return " One of " + ", ".join(f"`{choice}`" for choice in get_args(part)) + "."
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(args: argparse.Namespace) -> None:
    wanted = {
        ROOT / "workflow/schemas/config.schema.json": json.dumps(Config.model_json_schema(), indent=2) + "\n",
        ROOT / "config/README.md": INTRODUCTION + "\n".join(table(Config)) + "\n",
    }
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    if args.check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        raise SutureError(f"not up to date: {names}", fix="make docs")
    for path in stale:
        files.write_text(path, wanted[path])


if __name__ == "__main__":
    run(main, parser())
