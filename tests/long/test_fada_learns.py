"""FADA's demo from three seeds: BLIP-2 beside what does not see the image, on images that it never saw.

Task, drawings and settings are config/demo/fada.yaml's; nothing here chooses among results.
"""

from __future__ import annotations

from typing import Any

import pytest

from seeds import SEEDS, learnt, shown
from suture.tasks.fetal_vqa import PRIMARY

pytestmark = pytest.mark.long
UNSEEN = ("blind", "majority")


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The joint model and its blind one for each seed, on the same images; entries of metrics.json."""
    where = tmp_path_factory.mktemp("fada")
    found = learnt(where, "config/demo/fada.yaml", experiments={"joint": "joint"}, timeout=5400)
    assert all(entry["n_cases"] >= 50 and not entry["leaky"] for entry in found.values())
    return found


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
