"""The demo of SSG-VQA from three seeds, beside what does not see the frames, on test videos of the official split."""

from __future__ import annotations

from typing import Any

import pytest

from seeds import SEEDS, learnt, shown

pytestmark = pytest.mark.long
KEYS = ("acc", "acc@exist", "acc@count", "acc@query_attribute", "acc@query_object", "acc@one_hop", "mAF1@official")


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo's two models for each seed; entries of metrics.json."""
    return learnt(tmp_path_factory.mktemp("ssgvqa"), "config/demo/ssgvqa.yaml", timeout=3000)


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
