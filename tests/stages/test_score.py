"""score.py and merge_metrics.py as processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import score as score_script
from support import call, make_clip, run_script
from suture.errors import InputError


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
    # What it should stand beside as well is listed, until it is given.
    baselines = {"blind", "shuffled", "zero_shot", "metadata"}
    assert baselines <= entry["not_computed"].keys()
    assert not any("acc" in key for key in entry["not_computed"])


def test_without_references_the_majority_is_listed_as_not_computed(tmp_path: Path) -> None:
    entry = score(tmp_path, write(tmp_path / "p.jsonl", [predicted(i) for i in range(8)]))
    assert isinstance(entry, dict)
    # The gold answers are there all the same: what the measures can reach.
    assert entry["baselines"].keys() == {"ceiling"}
    assert entry["baselines"]["ceiling"]["acc"]["value"] == 1.0
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


# --- other tasks, and baselines, in this process ----------------------------------------------------------------------


def judge(folder: Path, task: str, rows: Path, *more: object) -> dict:
    output = folder / "entry.json"
    call(score_script, "--task", task, "--predictions", rows, "--output", output, "--resamples", 100, *more)
    return json.loads(output.read_text())


def chosen(i: int, **changes: object) -> dict:
    scores = {"hook": 0.2, "grasper": 0.7 if i % 3 else 0.1, "clipper": 0.1 if i % 3 else 0.7}
    row = {"id": f"q{i}", "case": f"VID{i % 4:02d}", "kind": ["zero_hop", "one_hop"][i % 2], "scores": scores}
    return {**row, "answer": "grasper", "prediction": max(scores, key=scores.__getitem__), **changes}


def test_closed_questions_with_their_labels(tmp_path: Path) -> None:
    rows = write(tmp_path / "p.jsonl", [chosen(i) for i in range(12)])
    for labels in ('["hook", "grasper", "clipper"]', "hook\r\ngrasper\r\n\r\nclipper\r\n"):
        (tmp_path / "labels").write_bytes(b"\xef\xbb\xbf" + labels.encode())
        entry = judge(tmp_path, "closed_vqa", rows, "--labels", tmp_path / "labels")
        # One of three labels occurs as gold: found in 8 of 12 questions, and never given wrongly.
        assert entry["metrics"]["mAR@official"]["value"] == pytest.approx(2 / 3)
        assert entry["metrics"]["mAR@published"]["value"] == pytest.approx(2 / 9)
        assert {"ap_macro", "ece", "acc@zero_hop", "acc@one_hop"} <= entry["metrics"].keys()
        assert entry["tables"].keys() == {"confusion", "calibration"}
    (tmp_path / "labels").write_text('["hook", "hook"]')
    with pytest.raises(InputError, match="label 'hook' occurs twice"):
        judge(tmp_path, "closed_vqa", rows, "--labels", tmp_path / "labels")


def test_classes_without_labels_are_those_that_occur(tmp_path: Path) -> None:
    rows = write(tmp_path / "p.jsonl", [chosen(i, answer=["grasper", "clipper"][i % 2]) for i in range(12)])
    entry = judge(tmp_path, "classification", rows)
    assert {"f1_macro", "auroc@macro_ovr", "sensitivity@macro"} <= entry["metrics"].keys()


def test_reports_from_two_tables(tmp_path: Path) -> None:
    said, gold = tmp_path / "said.csv", tmp_path / "gold.csv"
    said.write_bytes("\ufeffstudy_id,report,Patient\r\n1,No large effusion.,a\r\n2,,b\r\n9,Large heart.,c\r\n".encode())
    gold.write_text('study_id,report\n1,"No large effusion."\n2,"Small, clear\nlungs."\n3,Normal.\n')
    with pytest.raises(InputError, match=r"do not match: 1 predictions .* and 1 references"):
        judge(tmp_path, "report", said, "--references", gold)
    entry = judge(tmp_path, "report", said, "--references", gold, "--allow-unmatched")
    assert entry["metrics"]["bleu_4"]["value"] == pytest.approx((1.0 + 0.0) / 2)
    assert (entry["unit"], entry["n_cases"], entry["n_samples"]) == ("case", 2, 2)
    # What is in one file only is in no number, and said so.
    assert "1 predictions have no text" in entry["not_computed"]["no_reference"]
    assert "1 of 3 references have no prediction" in entry["not_computed"]["no_prediction"]
    assert {"bertscore", "radgraph_f1", "leaky"} <= entry["not_computed"].keys()
    with pytest.raises(InputError, match="a table of reports, without the gold ones"):
        judge(tmp_path, "report", said)


def test_other_predictions_of_the_same_samples_stand_beside(tmp_path: Path) -> None:
    rows = write(tmp_path / "p.jsonl", [predicted(i) for i in range(8)])
    shuffled = write(tmp_path / "shuffled.jsonl", [predicted(i, prediction="Polishing") for i in range(8)])
    base = write(tmp_path / "base.jsonl", [predicted(i, prediction="I see an eye.") for i in range(8)])
    entry = judge(tmp_path, "open_vqa", rows, "--baseline", f"shuffled={shuffled}", f"zero_shot={base}")
    assert entry["baselines"].keys() == {"ceiling", "shuffled", "zero_shot"}
    for name in ("shuffled", "zero_shot"):
        assert entry["baselines"][name]["acc"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(0.602, abs=1e-3)}
    for given, said in ((f"majority={base}", "there already"), ("Base", "NAME=FILE"), (f"A={base}", "NAME=FILE")):
        with pytest.raises(InputError, match=said):
            judge(tmp_path, "open_vqa", rows, "--baseline", given)


def test_what_metadata_tells_is_learnt_from_the_clips_of_training(tmp_path: Path) -> None:
    clips, train, asked = [], [], []
    for i in range(40):
        phase = "Incision" if i % 2 else "Polishing"
        clip = make_clip(id=f"k{i}", case=f"c{i % 10}", start_s=0.0, end_s=3.0 + i % 2, path=f"k{i}.mp4")
        (tmp_path / clip.path).write_bytes(bytes(100))
        clips.append(clip.to_json())
        if i % 10 < 7:
            train.append({**trained(f"c{i % 10}", phase), "id": f"t{i}", "clip": clip.id})
        else:
            asked.append(predicted(i, answer=phase, prediction="?", case=f"c{i % 10}", clip=clip.id))
    given = (
        write(tmp_path / "p.jsonl", asked),
        "--references", write(tmp_path / "train.jsonl", train),
        "--clips", write(tmp_path / "clips.jsonl", clips),
        "--clips-dir", tmp_path,
    )  # fmt: skip
    entry = judge(tmp_path, "open_vqa", *given)
    assert entry["metrics"]["acc"]["value"] == 0.0
    # The length alone tells the phase: whoever does no better has shown nothing.
    assert entry["baselines"]["metadata"]["acc"]["value"] == 1.0
    assert entry["baselines"]["majority"]["acc"]["value"] < 1.0
    with pytest.raises(InputError, match="go together"):
        judge(tmp_path, "open_vqa", *given[:-2])


def test_the_datasets_names_make_sets_and_phases_measurable(tmp_path: Path) -> None:
    rows = [
        predicted(0, answer="The phase is Incision.", prediction="incision", phase="Incision"),
        predicted(
            1, kind="instruments", answer="The gauge is visible.", prediction="A cannula is visible.", phase="Incision"
        ),
    ]
    entry = judge(tmp_path, "open_vqa", write(tmp_path / "p.jsonl", rows), "--adapter", "cataract1k")
    assert entry["metrics"]["acc"]["value"] == 0.0
    assert entry["metrics"]["set_f1@instruments"]["value"] == 1.0
    assert entry["metrics"]["phase_f1_macro"]["value"] == 1.0
