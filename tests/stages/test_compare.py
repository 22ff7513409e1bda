"""compare.py on folders of results as a run leaves them, and on files of predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import compare
from support import ROOT, call, run_script
from suture.errors import InputError


def predictions(path: Path, wrong: int, n: int = 24) -> Path:
    """Answers of which the first ``wrong`` are wrong; six cases."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": f"s{i}", "case": f"case_{i % 6}", "clip": f"k{i}", "turn": 0, "kind": "phase", "phase": "Incision",
         "question": "?", "answer": "The phase is Incision.",
         "prediction": "The phase is Hydrodissection." if i < wrong else "The phase is Incision."}
        for i in range(n)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_run(results: Path, name: str, leaky: bool = False, task: str = "open_vqa", **wrong: int) -> None:
    folder = results / name
    for experiment, count in wrong.items():
        predictions(folder / "predictions" / f"{experiment}.jsonl", count)
        # What a baseline of it said is no experiment.
        predictions(folder / "predictions" / f"{experiment}.shuffled.jsonl", 24)
    config = {"run": name, "dataset": "cataract1k", "experiments": {one: {"task": task} for one in wrong}}
    (folder / "config.resolved.yaml").write_text(yaml.safe_dump(config))
    scored = {one: {"leaky": leaky} for one in wrong}
    (folder / "metrics.json").write_text(json.dumps({"schema": 1, "experiments": scored}))


def test_two_runs_are_compared_by_make(tmp_path: Path) -> None:
    make_run(tmp_path, "old", qwen=18)
    make_run(tmp_path, "new", leaky=True, qwen=0)
    printed = run_script("compare", "--runs", "old,new", "--results", tmp_path, "--resamples", 200)
    found = json.loads((tmp_path / "comparisons" / "old,new.json").read_text())
    (one,) = found["comparisons"]
    assert (one["first"], one["second"], one["n_samples"], one["n_cases"]) == ("old/qwen", "new/qwen", 24, 6)
    assert one["metrics"]["acc"]["difference"] == pytest.approx(0.75)
    # The dataset's names are known: the phase that an answer names is compared too.
    assert one["metrics"]["phase_f1_macro"]["second"] == 1.0
    assert found["leaky"] == ["new/qwen"]
    table = (tmp_path / "comparisons" / "old,new.md").read_text()
    assert table.strip() in printed
    assert "| acc | 0.250 | 1.000 | +0.750 |" in table
    makefile = (ROOT / "Makefile").read_text()
    assert 'python workflow/scripts/compare.py --runs "$(RUNS)"' in makefile


def test_experiments_of_a_run_are_compared(tmp_path: Path) -> None:
    make_run(tmp_path, "demo", qwen=2, llava=10)
    call(compare, "--runs", "demo/qwen", "demo/llava", "--results", tmp_path, "--keys", "acc", "--resamples", 200)
    found = json.loads((tmp_path / "comparisons" / "demo.qwen,demo.llava.json").read_text())
    assert found["corrected_for"] == 1
    assert found["comparisons"][0]["metrics"].keys() == {"acc"}


def test_repeats_of_an_experiment_are_compared_by_their_own_names(tmp_path: Path) -> None:
    make_run(tmp_path, "demo", qwen=2)
    answers = tmp_path / "demo" / "predictions"
    for name, wrong in (("qwen.seed-1", 3), ("qwen.seed-1.blind", 20), ("qwen.seed-2", 5)):
        predictions(answers / f"{name}.jsonl", wrong)
    out = tmp_path / "x.json"
    runs = ["demo/qwen.seed-1", "demo/qwen.seed-2"]
    call(compare, "--runs", *runs, "--results", tmp_path, "--keys", "acc", "--resamples", 200, "--output", out)
    (one,) = json.loads(out.read_text())["comparisons"]
    assert (one["first"], one["second"]) == tuple(runs)
    with pytest.raises(InputError, match=r"no predictions of 'qwen\.seed-1\.blind'"):
        call(compare, "--runs", runs[0], f"{runs[0]}.blind", "--results", tmp_path)


def test_runs_of_several_experiments_are_compared_by_their_names(tmp_path: Path) -> None:
    make_run(tmp_path, "a", qwen=2, llava=10)
    make_run(tmp_path, "b", qwen=2, llava=3, other=0)
    out = tmp_path / "x.json"
    call(compare, "--runs", "a", "b", "--results", tmp_path, "--keys", "acc", "--resamples", 200, "--output", out)
    found = json.loads(out.read_text())
    assert [one["first"] for one in found["comparisons"]] == ["a/llava", "a/qwen"]
    assert found["corrected_for"] == 2


def test_what_cannot_be_compared_is_refused_with_the_way_out(tmp_path: Path) -> None:
    make_run(tmp_path, "a", qwen=2)
    make_run(tmp_path, "b", llava=2, fada=1)
    make_run(tmp_path, "c", qwen=2, task="report")
    predictions(tmp_path / "d" / "predictions" / "qwen.jsonl", 0, n=20)
    (tmp_path / "d" / "config.resolved.yaml").write_text((tmp_path / "a" / "config.resolved.yaml").read_text())
    for runs, said in (
        (["a"], "two or more different ones"),
        (["a", "a"], "two or more different ones"),
        (["a", "z"], "there is no run 'z'"),
        (["a", "b"], "the runs share no experiment"),
        (["a", "b/qwen"], "run 'b' has no predictions of 'qwen'"),
        (["a", "b/llava.shuffled"], "no predictions of 'llava.shuffled'"),
        (["a", "c"], "differ in dataset, task or labels"),
        (["a", "d"], "did not answer the same questions: 4 only by a/qwen"),
    ):
        with pytest.raises(InputError, match=said):
            call(compare, "--runs", *runs, "--results", tmp_path)
    assert not (tmp_path / "comparisons").exists()


def test_files_of_predictions_are_compared(tmp_path: Path) -> None:
    files = [f"{name}={predictions(tmp_path / f'{name}.jsonl', wrong)}" for name, wrong in (("one", 4), ("two", 4))]
    out = tmp_path / "found.json"
    call(compare, "--predictions", *files, "--task", "open_vqa", "--output", out, "--resamples", 200)
    (one,) = json.loads(out.read_text())["comparisons"]
    assert all(m["better"] == "neither" and m["p"] == 1.0 for m in one["metrics"].values())
    with pytest.raises(InputError, match="what is an answer in these predictions"):
        call(compare, "--predictions", *files)
