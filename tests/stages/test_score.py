"""score.py and merge_metrics.py as processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import run_script


def write(path: Path, rows: list[dict], *, start: bytes = b"", end: str = "\n") -> Path:
    path.write_bytes(start + "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode())
    return path


def predicted(i: int, **changes: object) -> dict:
    row = {"id": f"s{i}", "case": f"case_{i % 4}", "turn": 0, "kind": "phase", "question": "which phase?"}
    return {**row, "answer": "Incision", "prediction": "Incision" if i % 2 else "Polishing", **changes}


def trained(case: str, answer: str) -> dict:
    turn = {"question": "which phase?", "answer": answer, "kind": "phase"}
    return {"id": f"{case}-{answer}", "case": case, "clip": "c", "phase": "p", "turns": [turn]}


def score(folder: Path, rows: Path, *more: object, code: int = 0) -> dict | str:
    output = folder / "entry.json"
    said = run_script("score", "--task", "open_vqa", "--predictions", rows, "--output", output, *more, code=code)
    return json.loads(output.read_text()) if code == 0 else said


def test_an_entry_has_the_layout_of_metrics_json(tmp_path: Path) -> None:
    rows = write(tmp_path / "p.jsonl", [predicted(i) for i in range(8)])
    train = write(tmp_path / "train.jsonl", [trained("x", "Incision"), trained("y", "Polishing")])
    split = tmp_path / "split.json"
    split.write_text('{"leaky": false, "unit": "case"}')
    entry = score(tmp_path, rows, "--references", train, "--split-info", split)
    assert isinstance(entry, dict)
    assert entry.keys() == {
        "split", "unit", "leaky", "n_samples", "n_cases", "metrics", "baselines", "by", "not_computed"
    }  # fmt: skip
    assert (entry["split"], entry["unit"], entry["leaky"], entry["n_samples"], entry["n_cases"]) == (
        "test", "case", False, 8, 4,
    )  # fmt: skip
    assert entry["metrics"]["acc"].keys() == {"value", "low", "high", "n", "definition"}
    # Cases 0 and 2 are all wrong, 1 and 3 all right.
    assert (entry["metrics"]["acc@phase"]["value"], entry["metrics"]["acc@phase"]["n"]) == (0.5, 8)
    # Both answers were given once in training: the tie goes to Incision, always right here.
    assert entry["baselines"]["majority"]["acc"]["value"] == 1.0
    assert entry["not_computed"] == {}


def test_without_references_the_baseline_is_listed_as_not_computed(tmp_path: Path) -> None:
    entry = score(tmp_path, write(tmp_path / "p.jsonl", [predicted(i) for i in range(8)]))
    assert isinstance(entry, dict)
    assert entry["baselines"] == {}
    assert "--references" in entry["not_computed"]["majority"]
    assert "leaky" in entry["not_computed"]


def test_a_split_is_leaky_where_it_says_so_or_training_had_its_cases(tmp_path: Path) -> None:
    rows = write(tmp_path / "p.jsonl", [predicted(i) for i in range(8)])
    split = tmp_path / "split.json"
    split.write_text('{"leaky": true}')
    assert score(tmp_path, rows, "--split-info", split)["leaky"] is True
    split.write_text('{"leaky": false}')
    train = write(tmp_path / "train.jsonl", [trained("case_2", "Incision")])
    assert score(tmp_path, rows, "--split-info", split, "--references", train)["leaky"] is True
    train = write(tmp_path / "train.jsonl", [trained("case_9", "Incision")])
    assert score(tmp_path, rows, "--split-info", split, "--references", train)["leaky"] is False
    split.write_text("{}")
    assert "whether the split is leaky" in score(tmp_path, rows, "--split-info", split, code=2)


def test_minimal_rows_with_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    rows = [{"id": 1, "answer": "a", "prediction": "a", "note": "kept by its owner"}, {"id": 2, "answer": "b"}]
    rows[1]["prediction"] = "line\u2028separator\u0085"
    entry = score(tmp_path, write(tmp_path / "p.jsonl", rows, start=b"\xef\xbb\xbf", end="\r\n"))
    assert isinstance(entry, dict)
    assert (entry["metrics"]["acc"]["value"], entry["unit"], entry["n_cases"]) == (0.5, "clip", 2)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no predictions in this file"),
        ([predicted(1), predicted(1)], "occurs twice, first as record 1"),
        ([{"id": "a", "answer": "x"}], "missing: prediction"),
        ([predicted(1, prediction=None)], "missing: prediction"),
        ([predicted(1, answer=3)], "answer is of type int, not a text"),
        ([predicted(1, turn="0")], "not a whole number"),
        ([predicted(1, scores={"a": float("nan")})], "a score is nan"),
        ([predicted(1, answer=" ")], "the gold answer is empty"),
        ([["a"]], "not a JSON object"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list, said: str) -> None:
    printed = score(tmp_path, write(tmp_path / "p.jsonl", rows), code=2)
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "entry.json").exists()


def test_an_unknown_task_names_the_nearest(tmp_path: Path) -> None:
    rows = write(tmp_path / "p.jsonl", [predicted(1)])
    said = run_script("score", "--task", "open-vqa", "--predictions", rows, "--output", tmp_path / "o", code=2)
    assert "did you mean 'open_vqa'?" in said


def test_metrics_are_equal_to_the_byte_under_any_hash_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [predicted(i, kind=f"kind-{i % 5}", phase=f"phase-{i % 3}", case=f"case_{i % 7}") for i in range(60)]
    train = write(tmp_path / "train.jsonl", [trained(f"t{i}", f"answer {i % 4}") for i in range(8)])
    made = []
    for seed in ("0", "1", "4242"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        score(tmp_path, write(tmp_path / "p.jsonl", rows), "--references", train)
        order = ["b", "a"] if seed == "1" else ["a", "b"]
        entry = tmp_path / "entry.json"
        run_script(
            "merge_metrics", "--run", "r", "--entries", entry, entry, "--names", *order, "--output", tmp_path / "m.json"
        )
        made.append((tmp_path / "m.json").read_bytes())
    assert made[0] == made[1] == made[2]


def test_merging(tmp_path: Path) -> None:
    entry = score(tmp_path, write(tmp_path / "p.jsonl", [predicted(i) for i in range(8)]))
    path, output = tmp_path / "entry.json", tmp_path / "metrics.json"
    run_script("merge_metrics", "--run", "demo", "--entries", path, "--names", "qwen", "--output", output)
    assert json.loads(output.read_text()) == {"schema": 1, "run": "demo", "experiments": {"qwen": entry}}

    merge = ("merge_metrics", "--run", "demo", "--output", output, "--entries")
    assert "2 entries but 1 names" in run_script(*merge, path, path, "--names", "a", code=2)
    assert "named twice" in run_script(*merge, path, path, "--names", "a", "a", code=2)
    path.write_text(json.dumps({**entry, "metrics": {"acc": {"value": None, "low": 0, "high": 1}}}))
    assert "value of 'acc' is None" in run_script(*merge, path, "--names", "a", code=2)
