"""The conversations adapter: each published spelling, and rows that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chest_files import picture
from suture import registry
from suture.datasets import conversations as adapter
from suture.datasets.fetal_ultrasound.questions import STANDARD
from suture.errors import InputError
from suture.records import Turn

PAIR = [{"from": "human", "value": "What is it?\n<image>"}, {"from": "gpt", "value": "A drawing."}]
QA50 = {
    "question_id": 0,
    "image": "c.png",
    "pair_id": "c",
    "text": "Where?",
    "gpt4_answer": "Left.",
    "domain": {"chest_xray": False, "mri": True},
    "type": "conversation",
}


def write(path: Path, rows: list[object]) -> Path:
    path.write_text(
        "\n".join(json.dumps(row) for row in rows) if path.suffix == ".jsonl" else json.dumps(rows, indent=1)
    )
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"id": "1", "image": "a.png", "conversations": PAIR},
        {"id": 1, "image": "a.png", "conversatons": [PAIR[0], {"from": "report", "value": "A drawing."}], "view": "PA"},
        {"images": ["a.png"], "conversations": [{"from": "system", "value": "Be kind."}, *PAIR]},
        {
            "images": [{"path": "a.png"}],
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
                {"role": "assistant", "content": "A drawing."},
            ],
        },
    ],
)
@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
def test_one_question_in_each_spelling(tmp_path: Path, row: object, name: str) -> None:
    write(tmp_path / name, [row])
    assert adapter.case_ids(tmp_path) == ["a"]
    (segment,) = adapter.read_case(tmp_path, "a").segments
    assert segment.turns == (Turn(question="What is it?", answer="A drawing.", kind="question"),)
    assert (segment.media, segment.whole, segment.end_s) == ("a.png", True, None)
    there = picture(tmp_path / "images" / "a.png")
    assert adapter.case_media(tmp_path, tmp_path / "images", "a") == [there]


def test_a_qa50_row_is_a_question_of_its_kind_and_domain(tmp_path: Path) -> None:
    root = write(tmp_path / "qa50.jsonl", [QA50])
    (segment,) = adapter.read_case(root, "c").segments
    assert segment.label == "mri"
    assert segment.turns == (Turn(question="Where?", answer="Left.", kind="conversation"),)


def test_rows_that_cannot_be_read_are_told_by_index_and_the_rest_is_read(tmp_path: Path) -> None:
    good = {"id": "g", "image": "g.png", "conversations": PAIR}
    bad = [
        7,
        {"id": "n", "conversations": PAIR},
        {"id": "o", "image": "o.png", "conversations": PAIR[:1]},
        {"id": "w", "image": "w.png", "conversations": [{"from": "martian", "value": "?"}]},
        {"id": "p", "image": "../p.png", "conversations": PAIR},
    ]
    root = write(tmp_path / "data.json", [*bad, good])
    assert adapter.case_ids(root) == ["g"]
    told = {one.where: (one.reason, one.detail) for one in adapter.general(root, None)}
    assert {where: reason for where, (reason, _) in told.items()} == {
        "data.json, row 0": "corrupt_row",
        "data.json, row 1": "no_image",
        "data.json, row 2": "corrupt_row",
        "data.json, row 3": "corrupt_row",
        "data.json, row 4": "path_outside",
    }
    assert "'martian'" in told["data.json, row 3"][1] and "no answer" in told["data.json, row 2"][1]


def test_a_torn_element_of_a_json_list_costs_itself_alone(tmp_path: Path) -> None:
    rows = [{"id": str(n), "image": f"i{n}.png", "conversations": PAIR} for n in range(4)]
    whole = [json.dumps(row) for row in rows]
    whole[1] = whole[1].replace('"A drawing."', '"A draw')  # an unclosed text
    root = tmp_path / "data.json"
    root.write_text("[" + ",\n".join(whole) + "]")
    assert adapter.case_ids(root) == ["i0", "i2", "i3"]
    assert [one.where for one in adapter.general(root, None)] == ["data.json, row 1"]
    lines = tmp_path / "data.jsonl"
    lines.write_text("\n".join(whole))
    assert adapter.case_ids(lines) == ["i0", "i2", "i3"]


def test_rows_about_one_image_are_one_case_and_contradictions_are_counted(tmp_path: Path) -> None:
    other = [PAIR[0], {"from": "gpt", "value": "A photograph."}]
    rows = [{"image": "a.png", "conversations": pair} for pair in (PAIR, PAIR, other)]
    case = adapter.read_case(write(tmp_path / "d.json", rows), "a")
    assert [turn.answer for turn in case.segments[0].turns] == ["A drawing."]
    assert [(one.reason, one.where) for one in case.rejected] == [
        ("duplicate_row", "d.json, row 1"),
        ("conflicting_answer", "d.json, row 2"),
    ]


def test_what_must_not_be_split_is_a_patient_a_study_or_an_image(tmp_path: Path) -> None:
    named = [{"image": f"{image}.png", "conversations": PAIR} for image in ("0001-0001", "0001-0002", "2-1")]
    root = write(tmp_path / "d.json", [*named, {"image": "z.png", "patient": "p 7", "conversations": PAIR}])
    assert adapter.case_ids(root) == ["0001-0001", "0001-0002", "2-1", "p_7"]
    assert registry.dataset("conversations:group=prefix").case_ids(root) == ["0001", "2", "p_7"]
    named = registry.dataset("conversations:group=prefix,names=file")
    assert named.case_ids(root) == ["d.0001", "d.2", "d.p_7"]


def test_a_folder_without_conversations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.json"):
        adapter.case_ids(tmp_path)


def test_fadas_published_chat_lines(tmp_path: Path) -> None:
    """A row as published; the eight rows about an image are eight questions about one case."""
    system = (
        "You are an expert in fetal ultrasound imaging analysis. Provide accurate and clinically relevant "
        "interpretations."
    )
    asked = [(question.text, f"answer {question.number}", question.kind) for question in STANDARD]
    asked.append(("Anything else?", "no", "question"))
    rows: list[object] = [
        {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]},
                {"role": "assistant", "content": answer},
            ],
            "images": ["Abdomen/Abdomen_001.png"],
        }
        for text, answer, _ in asked
    ]
    write(tmp_path / "gt_train.jsonl", rows)
    fada = registry.dataset("conversations:kinds=fada")
    (case,) = fada.case_ids(tmp_path)
    (segment,) = fada.read_case(tmp_path, case).segments
    assert (case, segment.media) == ("Abdomen_Abdomen_001", "Abdomen/Abdomen_001.png")
    assert [(turn.question, turn.answer, turn.kind) for turn in segment.turns] == asked
    assert {turn.kind for turn in adapter.read_case(tmp_path, case).segments[0].turns} == {"question"}
