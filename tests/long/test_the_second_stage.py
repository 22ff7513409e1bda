"""Endo-FM's second stage against training from scratch, from three seeds, as it comes out.

Data and settings are config/demo/endofm.yaml's; nothing here chooses among results, and none has to be the better one.
What is asserted is what the numbers must be for a comparison to mean something: the same test patients, no leak, and no
more than chance where nothing moves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from seeds import SEEDS, learnt, shown

pytestmark = pytest.mark.long
CHOSEN = {"scratch": "direct", "first": "bagls", "second": "two-stage"}


def test_two_stages_and_one_from_three_seeds(tmp_path: Path) -> None:
    experiments = learnt(tmp_path, "config/demo/endofm.yaml", experiments=CHOSEN, timeout=3000)

    print("\n| seed | AUROC from scratch | AUROC of stage 2 | accuracy from scratch | accuracy of stage 2 |")
    print("|---|---|---|---|---|")
    for seed in SEEDS:
        pair = [experiments[f"{name}-{seed}"]["metrics"] for name in ("scratch", "second")]
        cells = [one[key] for key in ("auroc", "acc") for one in pair]
        print(f"| {seed} | " + " | ".join(map(shown, cells)) + " |")
    for seed in SEEDS:
        for name in ("scratch", "second"):
            entry = experiments[f"{name}-{seed}"]
            assert (entry["n_cases"], entry["n_samples"], entry["leaky"]) == (10, 30, False)
            still = entry["baselines"]["still"]["acc"]
            assert still["low"] <= 0.5 <= still["high"], f"{name}-{seed}: one frame tells the class"
