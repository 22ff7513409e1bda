"""The demo of LLaVA-Med from three seeds, beside what does not see the image. Nothing here chooses among results."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from support import clone, snakemake

pytestmark = pytest.mark.long
SEEDS = (42, 43, 44)
MEASURES = ("bleu_1", "bleu_4", "rouge_l")


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo's first model for each seed; entries of metrics.json."""
    where = clone(tmp_path_factory.mktemp("seeds"))
    config = yaml.safe_load((where / "config/demo/llava-med.yaml").read_text())
    published = config["experiments"]["report"]
    config["experiments"] = {}
    for seed in SEEDS:
        made = copy.deepcopy(published)
        made["train"]["seed"] = seed
        config["experiments"][f"report-{seed}"] = made
    (where / "seeds.yaml").write_text(yaml.safe_dump(config))
    snakemake(where, "evaluate", "--configfile", "seeds.yaml", timeout=3600)
    found: dict[str, Any] = json.loads((where / "results/demo-llava-med/metrics.json").read_text())["experiments"]
    return found


def test_each_seed_beats_the_blind_model_and_the_majority(experiments: dict[str, Any]) -> None:
    unseen = ("blind", "majority")
    print("\n| seed | measure | model | shuffled | " + " | ".join(unseen) + " |\n" + "|---" * 6 + "|")
    for seed in SEEDS:
        entry = experiments[f"report-{seed}"]
        for measure in MEASURES:
            row = [entry["metrics"], *(entry["baselines"][name] for name in ("shuffled", *unseen))]
            shown = (
                f"{one[measure]['value']:.3f} ({one[measure]['low']:.3f} to {one[measure]['high']:.3f})" for one in row
            )
            print(f"| {seed} | {measure} | " + " | ".join(shown) + " |")
    for seed in SEEDS:
        entry = experiments[f"report-{seed}"]
        for measure in MEASURES:
            for name in ("shuffled", *unseen):
                assert entry["metrics"][measure]["low"] > entry["baselines"][name][measure]["high"], (
                    seed,
                    measure,
                    name,
                )
