"""Endo-FM's second stage against training from scratch, from three seeds, as it comes out.

Data and settings are config/demo/endofm.yaml's; nothing here chooses among results, and none has to be the better one.
What is asserted is what the numbers must be for a comparison to mean something: the same test patients, no leak, and no
more than chance where nothing moves.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from support import clone, snakemake

pytestmark = pytest.mark.long
SEEDS = (42, 43, 44)


def test_two_stages_and_one_from_three_seeds(tmp_path: Path) -> None:
    where = clone(tmp_path)
    config = yaml.safe_load((where / "config/demo/endofm.yaml").read_text())
    published = config["experiments"]
    config["experiments"] = made = {}
    for seed in SEEDS:
        for name, of in (("scratch", "direct"), ("first", "bagls"), ("second", "two-stage")):
            made[f"{name}-{seed}"] = copy.deepcopy(published[of])
            made[f"{name}-{seed}"]["train"]["seed"] = seed
        made[f"second-{seed}"]["init_from"] = f"first-{seed}"
    (where / "seeds.yaml").write_text(yaml.safe_dump(config))
    snakemake(where, "evaluate", "--configfile", "seeds.yaml", timeout=3000)
    experiments = json.loads((where / "results/demo-endofm/metrics.json").read_text())["experiments"]

    print("\n| seed | AUROC from scratch | AUROC of stage 2 | accuracy from scratch | accuracy of stage 2 |")
    print("|---|---|---|---|---|")
    for seed in SEEDS:
        pair = [experiments[f"{name}-{seed}"]["metrics"] for name in ("scratch", "second")]
        cells = [one[key] for key in ("auroc", "acc") for one in pair]
        print(f"| {seed} | " + " | ".join("{value:.3f} ({low:.3f} to {high:.3f})".format(**c) for c in cells) + " |")
    for seed in SEEDS:
        for name in ("scratch", "second"):
            entry = experiments[f"{name}-{seed}"]
            assert (entry["n_cases"], entry["n_samples"], entry["leaky"]) == (10, 30, False)
            still = entry["baselines"]["still"]["acc"]
            assert still["low"] <= 0.5 <= still["high"], f"{name}-{seed}: one frame tells the class"
