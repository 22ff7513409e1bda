"""Cataract-1K's own five folds, given as their publisher's files, are the split."""

from __future__ import annotations

import json
from pathlib import Path

from real_clips import published_clips
from support import run_script
from suture import records
from suture.records import Sample, Turn

TURN = Turn(question="What is the current phase?", answer="Incision", kind="phase")


def fold_file(path: Path, cases: list[str]) -> None:
    """Writes a fold file as published: an index without a name, and paths of the authors' cluster."""
    folder = "/storage/homefs/someone/Annotations"
    names = [case.replace("case_", "case") for case in cases]
    rows = [f"{n},{folder}/img/{name}_01.png,{folder}/mask/{name}_01.png" for n, name in enumerate(names)]
    path.write_text("\n".join([",imgs,masks", *rows]) + "\n")


def test_a_fold_of_the_publisher_is_the_split(cataract1k: Path, tmp_path: Path) -> None:
    clips = published_clips(cataract1k)
    cases = sorted({clip.case for clip in clips})
    records.write(tmp_path / "clips.jsonl", clips)
    samples = [Sample(id=clip.id, case=clip.case, clip=clip.id, phase=clip.phase, turns=(TURN,)) for clip in clips]
    records.write(tmp_path / "samples.jsonl", samples)
    for fold in range(5):
        tested = cases[3 * fold : 3 * fold + 3]
        fold_file(tmp_path / f"Cat1k_instrument_{fold}_test.csv", tested)
        fold_file(tmp_path / f"Cat1k_instrument_{fold}_train.csv", [case for case in cases[:15] if case not in tested])
    arguments = ["--samples", tmp_path / "samples.jsonl", "--clips", tmp_path / "clips.jsonl"]
    arguments += ["--official-folds", tmp_path, "--output-dir", tmp_path / "split"]
    run_script("split_dataset", *arguments, "--fold", 1)
    split = json.loads((tmp_path / "split" / "split.json").read_text())["cases"]
    assert split["test"] == cases[3:6]
    assert split["train"] == [case for case in cases[:15] if case not in cases[3:6]]
    assert split["val"] == cases[15:], "a case that no fold names goes to the split that the folds do not have"
    printed = run_script("split_dataset", *arguments, "--fold", 5, code=2)
    assert "there is no fold 5" in printed and "0 to 4" in printed
