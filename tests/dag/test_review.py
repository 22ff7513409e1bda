"""A clinician's corrections in the DAG: what they change is made anew, and nothing else."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from support import clone, planned, snakemake

CONFIG = "tests/dag/tiny.yaml"
FILE = "corrections.csv"
AFTER = {"correct_samples", "merge_qa_quality", "gather_data", "split_dataset", "organize_videos", "data"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the data of the tiny run have been made, with an empty file of corrections."""
    where = clone(tmp_path_factory.mktemp("finished"))
    correct(where)
    made(where, "data")
    return where


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def made(run: Path, *args: object, code: int = 0) -> str:
    return snakemake(run, *args, "--configfile", CONFIG, "--config", f"qa={{corrections: {FILE}}}", code=code)


def plan(run: Path) -> dict[str, int]:
    return planned(made(run, "data", "-n"))


def correct(run: Path, *rows: dict[str, object]) -> None:
    columns = ["case", "id", "turn", "verdict", "question", "answer", "reviewer", "note"]
    with (run / FILE).open("w", newline="") as handle:
        table = csv.DictWriter(handle, columns, restval="")
        table.writeheader()
        table.writerows(rows)


def samples(run: Path, name: str) -> dict[str, dict]:
    rows = (run / f"results/tiny/manifests/{name}.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, rows)}


def test_an_accepted_answer_makes_nothing_stale_and_is_counted(run: Path) -> None:
    one = next(iter(samples(run, "samples/0").values()))
    correct(run, {"case": one["case"], "id": one["id"], "turn": 0, "verdict": "accept"})
    assert plan(run) == {}
    made(run, "results/tiny/review.json")
    review = json.loads((run / "results/tiny/review.json").read_text())
    assert (review["n"], review["wrong"], review["low"]) == (1, 0, 0.0)


def test_corrections_reach_the_samples_and_only_their_shard_is_made_anew(run: Path) -> None:
    first, second = list(samples(run, "samples/0").values())[:2]
    correct(
        run,
        {
            "case": first["case"],
            "id": first["id"],
            "turn": 0,
            "verdict": "fix",
            "answer": "It is the Incision, really.",
        },
        {"case": second["case"], "id": second["id"], "turn": 1, "verdict": "reject", "note": "no pupil in sight"},
    )
    jobs = plan(run)
    assert jobs["correct_samples"] == 1 and set(jobs) == AFTER
    made(run, "data")
    corrected = samples(run, "samples")
    assert corrected[first["id"]]["turns"][0]["answer"] == "It is the Incision, really."
    assert corrected[first["id"]]["turns"][1:] == first["turns"][1:]
    assert corrected[second["id"]]["turns"] == [second["turns"][0], second["turns"][2]]
    rejected = json.loads((run / "results/tiny/manifests/rejected.json").read_text())
    assert rejected["counts"] == {"review": {"rejected_by_reviewer": 1}}
    assert "no pupil in sight" in rejected["rows"][0]["detail"]
    assert plan(run) == {}

    # A row about the other shard leaves this one's samples as they are, and a remark leaves everything.
    other = next(iter(samples(run, "samples/1").values()))
    text = (run / FILE).read_text().replace("no pupil in sight", "no pupil at all")
    (run / FILE).write_text(text)
    assert plan(run) == {}
    (run / FILE).write_text(text + f"{other['case']},{other['id']},0,reject,,,,\r\n")
    assert plan(run)["correct_samples"] == 1

    # Without the review, the data are those that were written.
    correct(run)
    made(run, "data")
    assert samples(run, "samples")[first["id"]] == first


def test_what_is_not_there_stops_the_run(run: Path) -> None:
    correct(run, {"case": "case_9999", "id": "x", "turn": 0, "verdict": "accept"})
    assert "there is no case 'case_9999' in this run" in made(run, "data", "-n", code=1)
    correct(run, {"case": "case_9102", "id": "case_9102_nothing", "turn": 0, "verdict": "reject"})
    made(run, "data", code=1)
    log = (run / "results/tiny/logs/correct_samples/0.log").read_text()
    assert "case 'case_9102' has no sample 'case_9102_nothing'" in log and f"{FILE}:2" in log


def test_snakemakes_own_report_takes_the_files_in(run: Path) -> None:
    made(run, "data", "--report", "whole.html")
    page = (run / "whole.html").read_text(encoding="utf-8")
    assert "split.json" in page and "which cases are in training" in page.lower()
