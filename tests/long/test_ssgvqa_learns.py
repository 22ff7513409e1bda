"""The demo of SSG-VQA from three seeds, beside what does not see the frames, on test videos of the official split."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from support import clone, snakemake

pytestmark = pytest.mark.long
SEEDS = (42, 43, 44)
KEYS = ("acc", "acc@exist", "acc@count", "acc@query_attribute", "acc@query_object", "acc@one_hop", "mAF1@official")


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo's two models for each seed; entries of metrics.json."""
    where = clone(tmp_path_factory.mktemp("ssgvqa"))
    config = yaml.safe_load((where / "config/demo/ssgvqa.yaml").read_text())
    published = config.pop("experiments")
    config["experiments"] = {}
    for seed in SEEDS:
        for name, entry in published.items():
            made = copy.deepcopy(entry)
            made["train"]["seed"] = seed
            if "init_from" in made:
                made["init_from"] = f"{made['init_from']}-{seed}"
            config["experiments"][f"{name}-{seed}"] = made
    (where / "seeds.yaml").write_text(yaml.safe_dump(config))
    snakemake(where, "evaluate", "--configfile", "seeds.yaml", timeout=3000)
    found: dict[str, Any] = json.loads((where / f"results/{config['run']}/metrics.json").read_text())["experiments"]
    return found


def shown(entry: dict[str, Any]) -> str:
    return f"{entry['value']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"


def test_three_seeds_see_the_frames(entries: dict[str, Any]) -> None:
    """All numbers are shown as they come out; only that of all questions must lie above what sees no frame."""
    unseen = ("blind", "majority", "shuffled")
    print("\n| seed | | model | " + " | ".join(unseen) + " | adapters on it |\n" + "|---" * (len(unseen) + 4) + "|")
    for seed in SEEDS:
        entry, adapted = entries[f"small-{seed}"], entries[f"lora-{seed}"]
        for key in KEYS:
            row = [entry["metrics"], *(entry["baselines"][name] for name in unseen), adapted["metrics"]]
            print(f"| {seed} | {key} | " + " | ".join(shown(one[key]) for one in row) + " |")
    for seed in SEEDS:
        entry = entries[f"small-{seed}"]
        for name in unseen:
            assert entry["metrics"]["acc"]["low"] > entry["baselines"][name]["acc"]["high"], f"seed {seed}, {name}"
