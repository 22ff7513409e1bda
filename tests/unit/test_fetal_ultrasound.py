"""FADA's spreadsheets and images, in both layouts, with all that is wrong in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ingest
from fetal_sheets import ANSWERS, CATEGORY_HEADER, by_category, images, merged, opendocument
from support import call
from suture import files, spreadsheets
from suture.datasets import fetal_ultrasound as fetal
from suture.datasets.fetal_ultrasound import categories
from suture.datasets.fetal_ultrasound.questions import STANDARD, of_header
from suture.errors import InputError


def ingested(root: Path, *more: object) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    out = root.parent / "out"
    call(
        ingest,
        *["--adapter", "fetal_ultrasound", "--root", root, "--output", out / "samples.jsonl"],
        *["--rejected", out / "rejected.jsonl", *more],
    )
    left_out: dict[str, list[dict[str, Any]]] = {}
    for row in files.read_jsonl(out / "rejected.jsonl"):
        left_out.setdefault(row["reason"], []).append(row)
    return files.read_jsonl(out / "samples.jsonl"), left_out


def test_both_layouts_give_the_same_samples(tmp_path: Path) -> None:
    one, other = tmp_path / "one" / "data", tmp_path / "other" / "data"
    rows = [(f"Abdomen_{n:03d}.png", ANSWERS) for n in (1, 2)]
    by_category(one / "Fetal Ultrasound Labeled" / "Abdomen_image_list.xlsx", rows)
    merged(other / "deep" / "er" / "Annotations.xlsx", [("Abdomen", image, answers) for image, answers in rows])
    (samples, nothing), (same, nothing_either) = (ingested(root, "--without-media") for root in (one, other))
    assert samples == same and len(samples) == 2 and not nothing and not nothing_either
    assert samples[0]["case"] == "Abdomen_001" and samples[0]["phase"] == "Abdomen"
    assert [turn["question"] for turn in samples[0]["turns"]] == [question.text for question in STANDARD]
    assert [turn["answer"] for turn in samples[0]["turns"]] == ANSWERS
    assert max(len(question.text) for question in STANDARD) > 100  # the published notebooks cut here


@pytest.mark.parametrize(
    ("header", "number"),
    [
        ("Q1", 1),
        ("q03 ", 3),
        ("Q4:", 4),
        ("Q3: Imaging Plane", 3),
        ("Q3. Plane Evaluation", 3),
        ("\nQ7 \r\n Normality/Abnormality:\nDetermine whether", 7),
        ("Question 8 - Clinical  recommendations", 8),
        (f"Q2\n{STANDARD[1].text}", 2),
    ],
)
def test_a_header_names_its_standard_question(header: str, number: int) -> None:
    assert of_header(header) == (number, STANDARD[number - 1].text, STANDARD[number - 1].kind)


@pytest.mark.parametrize("header", ["Quality", "Q", "QA", "Q1a", "Image Name", "", "9"])
def test_other_headers_are_no_questions(header: str) -> None:
    assert of_header(header) is None


def test_a_question_of_ones_own_keeps_its_words() -> None:
    assert of_header("Q9: Is the\n probe tilted?") == (9, "Is the probe tilted?", "q9")
    assert of_header("Q1: How many fetuses are there?") == (1, "How many fetuses are there?", "q1")


def test_what_cannot_be_used_is_told_with_sheet_and_row(tmp_path: Path) -> None:
    root = tmp_path / "data"
    gaps = ["", "NaN", *ANSWERS[2:]]
    merged(
        root / "Normalized.xlsx",
        [
            ("Abdomen", "Abdomen_001.png", ANSWERS),
            ("Abodomen", "Abodomen_002.png", ANSWERS),
            ("Abodomen", "Abodomen_003", [" a \n  b ", *ANSWERS[1:]]),
            ("abdomen", "ABDOMEN_001.PNG", ["liver", *ANSWERS[1:]]),
            ("Femur", "Femur_1.png", gaps),
            ("Femur", "Femur_2.png", ANSWERS),
            ("Cervix", "Cervix_1.png", [""] * 8),
            ("Cervix", "Cervix_2.png", [""] * 8),
            ("Femur", "", ANSWERS),
            ("Femur", "../../x.png", ANSWERS),
            ("", "", [""] * 8),
        ],
    )
    spreadsheets.write(root / "budget.xlsx", ["Item", "Euro"], [["probe", "3"]])
    (root / "~$Normalized.xlsx").write_bytes(b"a lock")
    images(root / "Fetal Ultrasound" / "Abodomen", ["Abdomen_001.png", "Abodomen_002.png", "Abodomen_003.png"])
    images(root / "Fetal Ultrasound" / "femur", ["Femur_1.PNG", "Femur_9.png"])
    images(root / "Fetal Ultrasound" / "Cervix", ["Cervix_1.png", "Cervix_2.png", "Cervix_3.png"])
    samples, left_out = ingested(root)
    assert [sample["case"] for sample in samples] == ["Abdomen_001", "Abdomen_002", "Abdomen_003", "Femur_1"]
    assert {sample["phase"] for sample in samples} == {"Abdomen", "Femur"}
    assert samples[2]["turns"][0]["answer"] == "a b"
    assert [turn["kind"] for turn in samples[3]["turns"]] == [one.kind for one in STANDARD[2:]]
    told = {
        reason: [row["detail"].split("Normalized.xlsx")[-1] for row in rows]
        for reason, rows in sorted(left_out.items())
    }
    assert told == {
        "awaiting_labels": [
            ", sheet Sheet1, row 8: 2 rows of Cervix await labels, from this one on: no question is answered",
            "3 of 3 images of Cervix await labels, from Cervix_1 on",
            "1 of 2 images of Femur await labels, from Femur_9 on",
        ],
        "duplicate_image": [
            ", sheet Sheet1, row 2",
        ],
        "empty_answer": [
            ", sheet Sheet1, row 6: anatomy: no answer",
            ", sheet Sheet1, row 6: orientation: no answer",
        ],
        "media_missing": [", sheet Sheet1: no file Femur/Femur_2.png under data/"],
        "misspelt_category": [
            ", sheet Sheet1, row 3: 'Abodomen' is read as 'Abdomen', in 2 rows from this one on",
        ],
        "missing_image_name": [
            ", sheet Sheet1, row 10: a row without an image name",
            ", sheet Sheet1, row 11: image name '../../x.png' leads out of its folder",
        ],
    }
    assert left_out["duplicate_image"][0]["where"] == "Normalized.xlsx, sheet Sheet1, row 5"
    assert "with other answers than at" in left_out["duplicate_image"][0]["detail"]
    assert "annotation row 7 of Normalized.xlsx, sheet Sheet1" in left_out["media_missing"][0]["where"]


def test_categories_that_look_alike_are_kept_apart(tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = ["Standard_NT", "Non_standard_NT", "Cervix", "Cervical"]
    merged(root / "all.xlsx", [(name, "1.png", ANSWERS) for name in names])
    images(root / "Non_standard_NT", ["1.png"])
    images(root / "cervical", ["1.png"])
    samples, left_out = ingested(root)
    assert [sample["case"] for sample in samples] == ["Cervical_1", "Non_standard_NT_1"]
    assert len(left_out["media_missing"]) == 2
    assert categories.canonical("trans thalamic") == "Trans-thalamic"
    assert categories.canonical("Kidney  left") == "Kidney left"


def test_a_patient_is_never_divided(tmp_path: Path) -> None:
    root = tmp_path / "data" / "x_image_list.xlsx"
    header = [*CATEGORY_HEADER, "Patient ID"]
    rows = [[str(n), f"{n}.png", *ANSWERS, "", f"P {n % 2}"] for n in range(4)]
    spreadsheets.write(root, header, rows)
    assert fetal.case_ids(root.parent) == ["P_0", "P_1"] == fetal.case_ids(root)
    case = fetal.read_case(root.parent, "P_0")
    assert [segment.media for segment in case.segments] == ["x/0.png", "x/2.png"]


def test_a_header_below_a_title_several_sheets_and_a_date_for_an_answer(tmp_path: Path) -> None:
    opendocument(
        tmp_path / "Cervix.ods",
        [
            ["Cervix, as of May"],
            ["Image Name", "Q5\nGestational Age", "Q6"],
            ["Cervix_1.png", "date:2025-08-13", "Good"],
            ["Cervix_2.png", "8-13 weeks", "Good"],
        ],
    )
    first, second = (fetal.read_case(tmp_path, f"Cervix_{number}") for number in (1, 2))
    assert [turn.kind for turn in first.segments[0].turns] == ["quality"]
    assert [one.reason for one in first.rejected] == ["answer_is_a_date"]
    assert "Cervix.ods, sheet Cervix, row 3" in first.rejected[0].detail
    assert second.segments[0].turns[0].answer == "8-13 weeks" and second.segments[0].row == 4


def test_counts_are_smallest_first_and_of_answered_images(tmp_path: Path) -> None:
    rows = [("Femur", f"Femur_{n}.png", ANSWERS) for n in range(3)] + [("Aorta", "Aorta_1.png", ANSWERS)]
    merged(tmp_path / "all.xlsx", [*rows, rows[0], ("Cervix", "Cervix_1.png", [""] * 8)])
    assert list(fetal.label_questions(tmp_path).items()) == [
        ("Aorta", {"Aorta_1": 8}),
        ("Femur", {"Femur_0": 8, "Femur_1": 8, "Femur_2": 8}),
    ]
    assert fetal.case_ids(tmp_path) == ["Aorta_1", "Femur_0", "Femur_1", "Femur_2"]


def test_an_edit_changes_the_digest_of_its_own_case(tmp_path: Path) -> None:
    rows = [("Femur", f"Femur_{n}.png", ANSWERS) for n in range(2)]
    digests = []
    for number, answer in enumerate(("liver", "spleen")):
        merged(tmp_path / str(number) / "all.xlsx", [rows[0], ("Femur", "Femur_1.png", [answer, *ANSWERS[1:]])])
        digests.append([fetal.case_digest(tmp_path / str(number), f"Femur_{n}") for n in range(2)])
    assert digests[0][0] == digests[1][0] and digests[0][1] != digests[1][1]


def test_no_sheet_or_no_spreadsheet_is_said(tmp_path: Path) -> None:
    spreadsheets.write(tmp_path / "budget.xlsx", ["Item", "Euro"], [["probe", "3"]])
    with pytest.raises(InputError, match=r"columns Image Name and Q1, Q2, .* looked at budget.xlsx"):
        fetal.case_ids(tmp_path)
    broken = tmp_path / "broken" / "x_image_list.xlsx"
    broken.parent.mkdir()
    broken.write_bytes(b"PK\3\4 nothing")
    with pytest.raises(InputError, match="not a spreadsheet that can be read"):
        fetal.case_ids(broken.parent)


def test_the_published_split_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = [f"Abodomen_{n:03d}.png" for n in range(6)]
    by_category(root / "Abodomen_image_list.xlsx", [(name, ANSWERS) for name in names])
    listed = {"train": {"Abdomen": [f"Abdomen/{name}" for name in names[:3]]}, "val": {"Abdomen": []}}
    listed["test"] = {"Abdomen": [f"Abdomen/{name}" for name in names[3:5]]}
    (root / "dataset_splits.json").write_text(json.dumps({"metadata": {}, "statistics": {}, "splits": listed}))
    split = fetal.read_split(root)
    assert split == fetal.read_split(root / "dataset_splits.json")
    assert split == {"Abdomen_000": "train", "Abdomen_001": "train", "Abdomen_002": "train"} | {
        "Abdomen_003": "test",
        "Abdomen_004": "test",
    }
    listed["val"]["Abdomen"].append(f"Abdomen/{names[0]}")
    (tmp_path / "twice.json").write_text(json.dumps({"splits": listed}))
    with pytest.raises(InputError, match=r"Abodomen_000.png is in train and in val"):
        fetal.read_split(tmp_path / "twice.json")
