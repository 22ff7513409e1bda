"""Anyone's own videos and one CSV: real files that no rule makes, through the DAG and through edits of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

from support import clone, planned, snakemake
from video_files import make_video

CASES = ["patient_01", "patient_02", "patient_03"]
CONFIG = ["--configfile", "own.yaml"]


def rows(case: str) -> list[str]:
    """Two clips with nine questions each, so long that table and manifests are over 5 MB.

    That is far above the size up to which Snakemake compares checksums by default.
    """
    padding = "x" * 100_000
    stretches = [("0,2", "Incision"), ("2,4", "Suture")]
    return [
        f"{case},{case}.mp4,{times},{phase},Which phase is this? {number} {padding},{phase}"
        for times, phase in stretches
        for number in range(9)
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the data stages of such a run have been made."""
    where = clone(tmp_path_factory.mktemp("own"))
    (where / "videos").mkdir()
    for number, case in enumerate(CASES):
        make_video(where / "videos" / f"{case}.mp4", seconds=5, seed=number)
    header = "case,media,start,end,label,question,answer"
    (where / "own.csv").write_text("\n".join([header, *(row for case in CASES for row in rows(case))]) + "\n")
    config = {
        "run": "own",
        "dataset": "table",
        "annotations": "own.csv",
        "videos": "videos",
        "shards": 1,
        "qa": {"backend": "annotation"},
        "split": {"fractions": [0.34, 0.33, 0.33]},
    }
    (where / "own.yaml").write_text(yaml.safe_dump(config))
    snakemake(where, *CONFIG)
    return where


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def plan(run: Path) -> dict[str, int]:
    return planned(snakemake(run, "-n", *CONFIG))


def test_the_questions_of_the_table_are_in_the_dataset(finished: Path) -> None:
    dataset = finished / "results/own/dataset"
    written = "".join((dataset / f"{split}_qa_pairs.json").read_text() for split in ("train", "val", "test"))
    assert written.count("Which phase is this?") == 54
    assert len(list((dataset / "videos").glob("*/*.mp4"))) == 6


@pytest.mark.parametrize("name", ["videos/patient_01.mp4", "own.csv", "results/own/manifests/samples.jsonl"])
def test_a_touched_video_table_or_manifest_reruns_nothing(run: Path, name: str) -> None:
    assert (run / "own.csv").stat().st_size > 5_000_000
    assert (run / "results/own/manifests/samples.jsonl").stat().st_size > 5_000_000
    os.utime(run / name)
    assert plan(run) == {}
    assert plan(run) == {}, "and it stays so"


def test_a_replaced_video_is_cut_again_and_the_others_are_not(run: Path) -> None:
    make_video(run / "videos" / "patient_01.mp4", seconds=5, seed=9)
    jobs = plan(run)
    assert jobs["cut_videos"] == 1 and jobs["split_dataset"] == 1
    snakemake(run, *CONFIG)
    assert plan(run) == {}


def test_an_edited_row_reruns_its_own_case(run: Path) -> None:
    table = run / "own.csv"
    table.write_text(table.read_text().replace("patient_02,patient_02.mp4,2,4,", "patient_02,patient_02.mp4,2,3.5,"))
    assert plan(run)["cut_videos"] == 1


def test_a_deleted_dataset_folder_comes_back(run: Path) -> None:
    shutil.rmtree(run / "results/own/dataset")
    assert plan(run) == {"organize_videos": 1, "all": 1}


def test_a_missing_videos_folder_stops_before_anything_runs(run: Path) -> None:
    printed = snakemake(run, "-n", *CONFIG, "--config", "videos=vidoes", code=1)
    assert "there is no folder vidoes" in printed
