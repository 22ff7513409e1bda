"""`--configfile` and `--config` of commands that look at a run as snakemake does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from suture.config.load import read
from suture.errors import ConfigError

DEFAULT = Path("config.yaml")


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say which run is meant."""
    parser.add_argument("--configfile", type=Path, metavar="FILE", help=f"as snakemake's (default: {DEFAULT})")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as snakemake's")
    parser.add_argument("--config-json", metavar="JSON", help="the configuration itself, in place of both")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="the folder of runs (default: results)"
    )


def raw_config(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the configuration as written, unchecked.

    Raises:
        ConfigError: it cannot be read.
    """
    if args.config_json:
        raw: dict[str, Any] = json.loads(args.config_json)
        return raw
    raw = read(args.configfile or DEFAULT)
    for pair in args.config:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--config {pair}: not KEY=VALUE")
        raw[name] = yaml.safe_load(value)
    return raw
