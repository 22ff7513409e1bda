"""The demo's model, trained from three seeds, knows more than the majority answer on cases it never saw.

Task, drawings and settings are config.yaml's; nothing here chooses among results.
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


def test_three_seeds_beat_the_majority_answer_with_intervals_apart(tmp_path: Path) -> None:
    where = clone(tmp_path)
    config = yaml.safe_load((where / "config.yaml").read_text())
    published = config["experiments"]["qwen-small"]
    config["experiments"] = {f"seed-{seed}": copy.deepcopy(published) for seed in SEEDS}
    for seed in SEEDS:
        config["experiments"][f"seed-{seed}"]["train"]["seed"] = seed
    (where / "seeds.yaml").write_text(yaml.safe_dump(config))
    snakemake(where, "evaluate", "--configfile", "seeds.yaml", timeout=3000)
    experiments = json.loads((where / "results/demo/metrics.json").read_text())["experiments"]

    print("\n| seed | kind | model | interval | majority |\n|---|---|---|---|---|")
    for seed in SEEDS:
        entry = experiments[f"seed-{seed}"]
        assert entry["n_cases"] >= 12 and not entry["leaky"]
        for kind in ("acc@phase", "acc@instruments", "acc@anatomy"):
            model, majority = entry["metrics"][kind], entry["baselines"]["majority"][kind]
            print(
                f"| {seed} | {kind[4:]} | {model['value']:.3f} | {model['low']:.3f} to {model['high']:.3f} "
                f"| {majority['value']:.3f} |"
            )
    for seed in SEEDS:
        entry = experiments[f"seed-{seed}"]
        for kind in ("acc@phase", "acc@instruments"):
            assert entry["metrics"][kind]["low"] > entry["baselines"]["majority"][kind]["high"], f"seed {seed}, {kind}"
