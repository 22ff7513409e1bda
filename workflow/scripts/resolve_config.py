"""Writes a run's configuration with all defaults filled in."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from suture import files
from suture.cli import Parser, run
from suture.config.load import resolve
from suture.errors import InputError


def parser() -> Parser:
    flags = Parser(__doc__)
    flags.add_argument("--config", required=True, metavar="JSON|FILE", help="the configuration, or its YAML file")
    flags.add_argument("--output", type=Path, required=True, help="config.resolved.yaml")
    return flags


def main(args: argparse.Namespace) -> None:
    given: str = args.config
    try:
        raw = json.loads(given) if given.lstrip().startswith("{") else yaml.safe_load(files.read_text(Path(given)))
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the configuration cannot be read: {error}", where=given[:80]) from error
    resolved = resolve(raw or {}).model_dump(mode="json", exclude_none=True)
    files.write_text(args.output, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120))


if __name__ == "__main__":
    run(main, parser())
