"""split_dataset.py as users run it, on hand-made and on real clips."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from real_clips import published_clips
from support import make_clip, run_script
from suture import records
from suture.records import Clip, Sample, Turn

PHASES = ("Incision", "Viscoelastic", "Phacoemulsification")
TURN = Turn(question="What is the current phase of the surgery?", answer="The current phase is Incision.", kind="phase")
FILES = ("train.jsonl", "val.jsonl", "test.jsonl", "split.json")


def clip(case: str, number: int) -> Clip:
    return make_clip(id=f"{case}_{number}", case=case, phase=PHASES[min(number % 6, 2)])


def sample_of(clip: Clip) -> Sample:
    return Sample(id=clip.id, case=clip.case, clip=clip.id, phase=clip.phase, turns=(TURN,))


class Run:
    """Manifests in a folder, and the command run on them."""

    def __init__(self, folder: Path, clips: list[Clip]) -> None:
        self.folder = folder
        self.samples, self.clips = folder / "samples.jsonl", folder / "clips.jsonl"
        self.write(clips)

    def write(self, clips: list[Clip], seed: int = 0) -> None:
        order = random.Random(seed)
        records.write(self.clips, order.sample(clips, len(clips)))
        records.write(self.samples, map(sample_of, order.sample(clips, len(clips))))

    def __call__(self, *args: object, to: str = "split", code: int = 0) -> str:
        return run_script(
            "split_dataset", "--samples", self.samples, "--clips", self.clips, "--output-dir", self.folder / to, *args,
            code=code,
        )  # fmt: skip

    def split(self, to: str = "split") -> dict[str, list[Sample]]:
        return {name: records.read(self.folder / to / f"{name}.jsonl", Sample) for name in ("train", "val", "test")}

    def report(self, to: str = "split") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / to / "split.json").read_text())
        return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, [clip(f"case_{case}", number) for case in range(10) for number in range(8 + case)])


def test_by_case_the_bytes_are_the_same_for_any_order_and_hash_seed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = records.read(run.clips, Clip)
    said = []
    for number, hash_seed in enumerate(("0", "7", "4242")):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        run.write(clips, seed=number)
        said.append(run("--balance", to=f"split{number}"))
    for name in FILES:
        contents = {(run.folder / f"split{number}" / name).read_bytes() for number in range(3)}
        assert len(contents) == 1, name
    assert len(set(said)) == 1
    assert "split by case\n" in said[0]


def test_the_report_adds_up(run: Run) -> None:
    run("--balance", "--output-published", run.folder / "published")
    parts, report = run.split(), run.report()
    assert (report["unit"], report["leaky"], report["seed"], report["overlaps"]) == ("case", False, 42, {})
    for name, rows in parts.items():
        counts = report["counts"][name]
        assert counts["samples"] == len(rows) == sum(counts["phases"].values())
        assert counts["clips"] == len({row.clip for row in rows})
        assert report["cases"][name] == sorted({row.case for row in rows})
        assert len(rows) > 0
    assert sum(report["counts"][name]["clips"] for name in parts) == len(records.read(run.clips, Clip))
    added = sum(one["added"] for one in report["balance"].values())
    assert added > 0
    assert added == len([row for row in parts["train"] if "#" in row.id])
    assert not [row for name in ("val", "test") for row in parts[name] if "#" in row.id]
    for name, rows in parts.items():
        entries = json.loads((run.folder / "published" / f"{name}_qa_pairs.json").read_text())
        assert [entry[0]["video_filename"] for entry in entries] == [f"{row.clip}.mp4" for row in rows]


def test_by_clip_is_the_published_share_and_marked_leaky(run: Run) -> None:
    said = run("--unit", "clip", "--no-balance")
    parts, report = run.split(), run.report()
    total = len(records.read(run.clips, Clip))
    assert (len(parts["train"]), len(parts["val"]), len(parts["test"])) == (
        int(total * 0.9),
        total - int(total * 0.9),
        0,
    )
    assert report["leaky"] is True
    assert report["overlaps"]["case"] > 0
    assert "LEAKY" in said


def test_folds_test_every_sample_once(run: Run) -> None:
    tested: list[str] = []
    for fold in range(3):
        run("--folds", 3, "--fold", fold, to=f"fold{fold}")
        tested += [row.id for row in run.split(f"fold{fold}")["test"]]
        assert run.report(f"fold{fold}")["leaky"] is False
    assert sorted(tested) == sorted(clip.id for clip in records.read(run.clips, Clip))


def test_one_video_under_two_case_names_stays_on_one_side_and_is_named(run: Run) -> None:
    clips = [
        dataclasses.replace(clip, source_sha256="video case_1") if clip.case == "case_8" else clip
        for clip in records.read(run.clips, Clip)
    ]
    run.write(clips)
    for seed in (1, 2, 3):
        run("--seed", seed, "--fractions", 0.5, 0.25, 0.25)
        assert run.report()["merged_cases"] == [["case_1", "case_8"]]
        assert len([name for name, cases in run.report()["cases"].items() if {"case_1", "case_8"} & set(cases)]) == 1


def test_a_list_that_leaks_stops_the_run_and_names_the_pair(run: Run) -> None:
    clips = [
        dataclasses.replace(clip, source_sha256="video case_1") if clip.case == "case_8" else clip
        for clip in records.read(run.clips, Clip)
    ]
    run.write(clips)
    listed = run.folder / "listed.csv"
    listed.write_text("case,split\ncase_8,test\ncase_1,train\ncase_2,val\ncase_3,train\n")
    args = ("--assign", listed, "--fractions", 0.7, 0.1, 0.2)
    assert "cases are in no list" in run(*args, code=2)
    listed.write_text(
        "case,split\ncase_8,test\n"
        + "".join(f"case_{n},{'val' if n == 2 else 'train'}\n" for n in (0, 1, 2, 3, 4, 5, 6, 7, 9))
    )
    said = run(*args, code=2)
    assert "source media video case_1: case_1_0 in train, case_8_0 in test" in said
    assert not (run.folder / "split").exists()
    run(*args, "--allow-leaks")
    report = run.report()
    assert (report["leaky"], report["overlaps"]) == (True, {"source media": 1})


def test_named_test_cases_are_the_test_set(run: Run) -> None:
    run("--cases-test", "case_3", "case_9", "case_77")
    report = run.report()
    assert report["cases"]["test"] == ["case_3", "case_9"]
    assert "case_77 is listed and has no samples" in report["warnings"]


def test_a_phase_that_a_split_lacks_is_a_warning(run: Run) -> None:
    clips = records.read(run.clips, Clip)
    rare = [dataclasses.replace(clip, phase="Rare") if clip.id == "case_4_0" else clip for clip in clips]
    run.write(rare)
    said = run()
    where = [name for name, rows in run.split().items() if any(row.phase == "Rare" for row in rows)]
    assert len(where) == 1
    lacking = [f"Rare does not occur in {name}" for name in ("train", "val", "test") if name not in where]
    assert [line for line in run.report()["warnings"] if "Rare" in line] == lacking
    assert f"warning: {lacking[0]}" in said


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("--fractions", 0.8, 0.1), "0.8 0.1 are not shares"),
        (("--fractions", 0, 0.5, 0.5), "0.0 0.5 0.5 are not shares"),
        (("--fractions", "nan", 0.5, 0.5), "not shares"),
        (("--folds", 5), "go together"),
        (("--folds", 5, "--fold", 5), "fold 5 of 5"),
        (("--folds", 11, "--fold", 0), "10 groups of cases cannot fill 11 splits"),
        (("--folds", 5, "--fold", 0, "--unit", "clip"), "divides cases"),
        (("--unit", "clip", "--cases-test", "case_1"), "need --unit case"),
    ],
)
def test_options_that_make_no_split_are_refused(run: Run, args: tuple[object, ...], problem: str) -> None:
    assert problem in run(*args, code=2)
    assert not (run.folder / "split").exists()


def test_manifests_that_do_not_fit_each_other_are_refused(run: Run) -> None:
    clips = records.read(run.clips, Clip)
    records.write(run.clips, clips[1:])
    said = run(code=2)
    assert f"about clip {clips[0].id}" in said
    assert "no such clip" in said
    records.write(run.samples, [])
    assert "no samples to split" in run(code=2)


def test_the_real_cases_are_split_by_phase(cataract1k: Path, tmp_path: Path) -> None:
    clips = published_clips(cataract1k)
    run = Run(tmp_path, clips)
    run("--fractions", 0.6, 0.2, 0.2)
    report = run.report()
    assert sum(report["counts"][name]["cases"] for name in ("train", "val", "test")) == 16
    assert sum(report["counts"][name]["samples"] for name in ("train", "val", "test")) == 1108
    for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        assert report["counts"][name]["samples"] == pytest.approx(share * 1108, rel=0.2)
        # Every phase but the short ones is near its share in each split.
        assert min(report["counts"][name]["phases"].values()) > 0
