"""generate_qa.py as users run it, on hand-made and on real annotation."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from real_clips import published_clips, write_published_clips
from support import run_script
from suture import files, records
from suture.datasets.cataract1k import objects as real_objects
from suture.records import Rejection, Sample
from talking_server import serving

BOX = {"area": 9.0, "bbox": [0, 0, 1, 1]}


def thing(name: str, *box: float) -> dict[str, Any]:
    return {"name": name, "published": name, **BOX, "bbox_norm": box}


EYE = (thing("Pupil", 0.4, 0.4, 0.2, 0.2), thing("Cornea", 0.3, 0.3, 0.4, 0.4))


def scene(clip: str | None, *objects: dict[str, Any], phase: str = "Incision") -> dict[str, Any]:
    return {"phase": phase, "published_phase": phase, "objects": list(objects), "clip": clip, "image": "i.png"}


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    """Three clips, one of them idle and one without a scene; four scenes, one of them without a clip."""
    base = {
        "start_s": 0.0,
        "end_s": 5.0,
        "first_frame": 0,
        "n_frames": 150,
        "fps": 30.0,
        "width": 64,
        "height": 48,
        "method": "copy",
        "source": "case_1.mp4",
        "source_sha256": "v",
    }
    clips = [
        {**base, "id": f"case_1_{n}", "case": "case_1", "phase": phase, "path": f"case_1/{n}.mp4", "sha256": str(n)}
        for n, phase in enumerate(("Incision", "idle", "Viscoelastic"))
    ]
    gauge, spatula = thing("Gauge", 0.7, 0.45, 0.2, 0.1), thing("Spatula", 0.45, 0.0, 0.1, 0.2)
    table = {
        "case_1": {
            "10": scene("case_1_0", *EYE, gauge),
            "5": scene("case_1_0", *EYE, spatula),
            "20": scene("case_1_1", *EYE, phase="idle"),
            "30": scene(None, *EYE),
        }
    }
    files.write_jsonl(tmp_path / "clips.jsonl", clips)
    files.write_json(tmp_path / "objects.json", table, sort_keys=False)
    return tmp_path / "clips.jsonl", tmp_path / "objects.json"


def test_a_clip_becomes_one_sample_with_a_turn_for_each_kind(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    clips, objects = inputs
    out, left = tmp_path / "out" / "samples.jsonl", tmp_path / "out" / "rejected.jsonl"
    said = run_script(
        "generate_qa", "--backend", "template", "--objects", objects, "--clips", clips, "--output", out, "--rejected",
        left, "--kinds", "spatial", "phase", "anatomy", "instruments", "--published", tmp_path / "qa.json",
    )  # fmt: skip
    assert "1 samples with 4 questions; left out: no_clip 1, no_objects 1" in said
    assert records.read(out, Sample) == [
        Sample(
            id="case_1_0",
            case="case_1",
            clip="case_1_0",
            phase="Incision",
            objects=("Cornea", "Pupil", "Gauge", "Spatula"),
            origin="template",
            turns=(
                records.Turn(
                    kind="phase",
                    question="What is the current phase of the surgery?",
                    answer="The current phase is Incision.",
                ),
                records.Turn(
                    kind="anatomy",
                    question="Which anatomical structures are visible?",
                    answer="The visible anatomical structures are the Cornea and the Pupil.",
                ),
                records.Turn(
                    kind="instruments",
                    question="Which surgical instruments are visible?",
                    answer="The visible surgical instruments are the Gauge and the Spatula.",
                ),
                records.Turn(
                    kind="spatial",
                    question="Where is each visible surgical instrument relative to the pupil?",
                    answer="In the image, the Gauge is to the right of the Pupil; the Spatula is above the Pupil.",
                ),
            ),
        )
    ]
    assert [(one.reason, one.where) for one in records.read(left, Rejection)] == [
        ("no_clip", "case_1, i.png at 30 s"),
        ("no_objects", "clip case_1_2"),
    ]
    assert [list(part) for part in json.loads((tmp_path / "qa.json").read_text())[0]] == [
        ["video_filename"],
        *([f"question{n}", f"answer{n}"] for n in (1, 2, 3, 4)),
    ]


def test_idle_clips_are_asked_about_on_request(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    clips, objects = inputs
    run_script("generate_qa", "--objects", objects, "--clips", clips, "--idle", "--output", tmp_path / "s.jsonl")
    assert [one.phase for one in records.read(tmp_path / "s.jsonl", Sample)] == ["Incision", "idle"]


def test_what_it_wrote_is_taken_back_as_an_existing_file(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    clips, objects = inputs
    made, taken, qa = tmp_path / "made.jsonl", tmp_path / "taken.jsonl", tmp_path / "qa.json"
    run_script("generate_qa", "--objects", objects, "--clips", clips, "--output", made, "--published", qa)
    run_script("generate_qa", "--existing", qa, "--clips", clips, "--output", taken)
    first, second = records.read(made, Sample)[0], records.read(taken, Sample)[0]
    assert (second.id, second.turns, second.phase, second.origin) == (first.id, first.turns, first.phase, "llm")


def test_bad_input_ends_with_2_and_says_where(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    clips, objects = inputs
    out = tmp_path / "s.jsonl"
    table = json.loads(objects.read_text())
    table["case_1"]["5"]["objects"].append(thing("Iris", 0, 0, 1, 1))
    objects.write_text(json.dumps(table))
    said = run_script("generate_qa", "--objects", objects, "--clips", clips, "--output", out, code=2)
    assert "unknown object 'Iris'" in said
    assert "case_1 at 5 s" in said
    (tmp_path / "qa.json").write_text('[[{"video_filename": "case_1_0.mp4"}, {"question1": "q"}]]')
    said = run_script("generate_qa", "--existing", tmp_path / "qa.json", "--clips", clips, "--output", out, code=2)
    assert "qa.json, entry 1" in said
    said = run_script("generate_qa", "--objects", objects, "--clips", clips, "--wordings", 9, "--output", out, code=2)
    assert "there are 4" in said
    assert not out.exists()


def test_the_real_annotation_gives_the_questions_of_the_published_objects(
    cataract1k: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = write_published_clips(cataract1k, tmp_path / "clips.jsonl")
    objects, out = tmp_path / "objects.json", tmp_path / "samples.jsonl"
    run_script("describe_objects", "--annotations", cataract1k, "--clips", clips, "--output", objects)
    run_script("generate_qa", "--objects", objects, "--clips", clips, "--wordings", 3, "--output", out)
    found = {one.clip: set(one.objects) for one in records.read(out, Sample)}

    # What the published object script says of each clip. A frame at the very end of a clip belongs to
    # the next one here; the published script gives it to both.
    end_of = {clip.id: clip.end_s for clip in published_clips(cataract1k)}
    want: dict[str, set[str | None]] = {}
    for frames in json.loads((cataract1k / "expected" / "case_objects.json").read_text()).values():
        for second, row in frames.items():
            name = row["video_filename"]
            if row["phase"] != "idle" and name is not None and float(second) < end_of[name]:
                seen = {real_objects.canonical(one["object_name"]) for one in row["objects"]}
                want.setdefault(name, set()).update(seen)
    assert len(want) == 656
    assert found == want

    # The same bytes from shuffled input under another hash seed.
    lines = clips.read_text().splitlines()
    random.Random(3).shuffle(lines)
    (tmp_path / "shuffled.jsonl").write_text("\n".join(lines))
    table = list(json.loads(objects.read_text()).items())
    random.Random(4).shuffle(table)
    (tmp_path / "shuffled.json").write_text(json.dumps(dict(table)))
    monkeypatch.setenv("PYTHONHASHSEED", "12345")
    run_script(
        "generate_qa", "--objects", tmp_path / "shuffled.json", "--clips", tmp_path / "shuffled.jsonl", "--wordings", 3,
        "--output", tmp_path / "again.jsonl",
    )  # fmt: skip
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()


def test_more_kinds_of_question_on_request_and_other_wordings(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    clips, objects = inputs
    command = ["--objects", objects, "--clips", clips, "--kinds", "phase", "order", "counts"]
    run_script(
        "generate_qa", *command, "--wordings", 2, "--output", tmp_path / "train.jsonl", "--published", tmp_path / "q"
    )
    run_script("generate_qa", *command, "--wordings", 2, "--first-wording", 2, "--output", tmp_path / "test.jsonl")
    train, test = (records.read(tmp_path / f"{name}.jsonl", Sample)[0].turns for name in ("train", "test"))
    assert [turn.answer for turn in train] == [turn.answer for turn in test]
    assert [turn.answer for turn in train[1:]] == [
        "No phase came before: this is the first one.",
        "Two kinds of surgical instrument are visible.",
    ]
    assert not {turn.question for turn in train} & {turn.question for turn in test}
    # The published layout has no number for them: they carry their kind.
    run_script("generate_qa", "--existing", tmp_path / "q", "--clips", clips, "--output", tmp_path / "back.jsonl")
    assert records.read(tmp_path / "back.jsonl", Sample)[0].turns == train


def test_the_preview_shows_what_would_be_told_and_is_the_same_each_time(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, objects = inputs
    command = ["--objects", objects, "--clips", clips, "--kinds", "phase", "spatial", "order"]
    shown = run_script("qa_preview", *command)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert run_script("qa_preview", *command) == shown
    assert "sharing: open; to a model on this machine: allowed" in shown
    assert "Surgical instruments: Gauge, Spatula" in shown
    assert "the Gauge is to the right of the Pupil; the Spatula is above the Pupil" in shown
    # Names of clips stand in headings alone.
    assert [line for line in shown.splitlines() if "case_1" in line] == ["# clip case_1_0"]
    said = run_script("qa_preview", *command, "--sharing", "internal", "--base-url", "https://api.example.org/v1")
    assert "refused, the data are internal" in said

    # What is shown is what is sent.
    with serving() as server:
        run_script(
            "generate_qa", "--backend", "openai", "--base-url", server.url, "--model", "m", "--objects", objects,
            "--clips", clips, "--output", tmp_path / "s.jsonl",
        )  # fmt: skip
    shown = run_script("qa_preview", "--objects", objects, "--clips", clips)
    for message in server.calls[0].body["messages"]:
        assert message["content"] in shown


def test_an_asked_model_gets_schema_seed_and_key_and_its_samples_are_in_the_published_layout(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, objects = inputs
    monkeypatch.setenv("LAB_KEY", "sk-secret-of-the-lab-0123456789")
    with serving() as server:
        said = run_script(
            "generate_qa", "--backend", "openai", "--base-url", server.url, "--model", "m", "--api-key-env", "LAB_KEY",
            "--objects", objects, "--clips", clips, "--output", tmp_path / "s.jsonl", "--published", tmp_path / "q",
            "--quality", tmp_path / "quality.json",
        )  # fmt: skip
    call = server.calls[0]
    assert call.headers["Authorization"] == "Bearer sk-secret-of-the-lab-0123456789"
    assert call.body["response_format"]["json_schema"]["schema"]["properties"]["phase"]["enum"] == ["Incision"]
    assert call.body["max_tokens"] == 1024
    assert isinstance(call.body["seed"], int)
    made = records.read(tmp_path / "s.jsonl", Sample)
    assert [(one.id, one.origin, [turn.kind for turn in one.turns]) for one in made] == [
        ("case_1_0", "llm", ["phase", "anatomy", "instruments"])
    ]
    assert "1 of 1 clips worded by the model, 0 of 1 replies refused" in said
    written = "".join(path.read_text() for path in tmp_path.iterdir() if path.is_file())
    assert "sk-secret" not in written + said
    run_script(
        "merge_qa_quality", "--samples", tmp_path / "s.jsonl", "--shards", tmp_path / "quality.json",
        "--output", tmp_path / "merged.json",
    )  # fmt: skip
    merged = files.read_json(tmp_path / "merged.json")
    assert (merged["accepted"], merged["variety"]["phase"]["pairs"]) == (1, 1)
    said = run_script("generate_qa", "--backend", "openai", "--base-url", server.url, "--objects", objects, "--clips",
                      clips, "--output", tmp_path / "s.jsonl", code=2)  # fmt: skip
    assert "needs a model" in said
