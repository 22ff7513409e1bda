"""A demo's experiments from several seeds, in one run of the DAG: for the tests of what is learnt."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

from support import clone, snakemake

SEEDS = (42, 43, 44)


def learnt(where: Path, config: str, *, experiments: dict[str, str] | None = None, timeout: float) -> dict[str, Any]:
    """Trains and scores a config's experiments from each of :data:`SEEDS`; nothing else of it is changed.

    Args:
        where: an empty folder, for a copy of the working tree and its run.
        config: a file of the repository.
        experiments: new names to those of the config; None: all, under their own.
        timeout: of the run, in seconds.

    Returns:
        Entries of metrics.json, ``small`` of seed 42 as ``small-42``; one that starts
        from another starts from that of its seed.
    """
    clone(where)
    settings = yaml.safe_load((where / config).read_text())
    settings.pop("each_category", None)
    published = settings.pop("experiments")
    chosen = experiments or {name: name for name in published}
    settings["experiments"] = {}
    for seed in SEEDS:
        for name, of in chosen.items():
            made = copy.deepcopy(published[of])
            made["train"]["seed"] = seed
            if "init_from" in made:
                first = next(new for new, old in chosen.items() if old == made["init_from"])
                made["init_from"] = f"{first}-{seed}"
            settings["experiments"][f"{name}-{seed}"] = made
    (where / "seeds.yaml").write_text(yaml.safe_dump(settings))
    snakemake(where, "evaluate", "--configfile", "seeds.yaml", timeout=timeout)
    found: dict[str, Any] = json.loads((where / f"results/{settings['run']}/metrics.json").read_text())["experiments"]
    return found


def shown(entry: dict[str, Any]) -> str:
    """Words a measured value with its interval."""
    return f"{entry['value']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"
