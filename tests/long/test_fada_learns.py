"""FADA's demo from three seeds: BLIP-2 beside what does not see the image, on images that it never saw.

Task, drawings and settings are config/demo/fada.yaml's; nothing here chooses among results.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from support import clone, snakemake
from suture.tasks.fetal_vqa import PRIMARY

pytestmark = pytest.mark.long
SEEDS = (42, 43, 44)
UNSEEN = ("blind", "majority")


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The joint model and its blind one for each seed, on the same images; entries of metrics.json."""
    where = clone(tmp_path_factory.mktemp("fada"))
    config = yaml.safe_load((where / "config/demo/fada.yaml").read_text())
    joint = config.pop("experiments")["joint"]
    del config["each_category"]
    config["experiments"] = {f"joint-{seed}": copy.deepcopy(joint) for seed in SEEDS}
    for seed in SEEDS:
        config["experiments"][f"joint-{seed}"]["train"]["seed"] = seed
    (where / "seeds.yaml").write_text(yaml.safe_dump(config))
    snakemake(where, "evaluate", "--configfile", "seeds.yaml", timeout=5400)
    found: dict[str, Any] = json.loads((where / "results/demo-fada/metrics.json").read_text())["experiments"]
    assert all(entry["n_cases"] >= 50 and not entry["leaky"] for entry in found.values())
    return found


def shown(entry: dict[str, Any]) -> str:
    return f"{entry['value']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"


def test_three_seeds_on_each_question_beside_blind_and_majority(experiments: dict[str, Any]) -> None:
    """All is printed; what must hold for each seed: the mean over the questions lies above what sees nothing."""
    print("\n| seed | measure | model | " + " | ".join(UNSEEN) + " |\n" + "|---" * 5 + "|")
    for seed in SEEDS:
        entry = experiments[f"joint-{seed}"]
        for key in ("primary", "acc", *PRIMARY.values()):
            row = [entry["metrics"], *(entry["baselines"][name] for name in UNSEEN)]
            print(f"| {seed} | {key} | " + " | ".join(shown(one[key]) for one in row) + " |")
    for seed in SEEDS:
        entry = experiments[f"joint-{seed}"]
        for name in UNSEEN:
            assert entry["metrics"]["primary"]["value"] > entry["baselines"][name]["primary"]["high"], f"{seed}, {name}"
