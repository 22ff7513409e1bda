"""infer_reports.py: the seed's flags, any number of chunks, and going on after a break."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import fetch_weights
import infer_reports
from chest_files import picture
from support import call
from suture.errors import InputError

ROWS = 7


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("reports")
    call(fetch_weights, "--family", "llava_med", "--model", "small", "--output", where / "model")
    asked = []
    for number in range(ROWS):
        picture(where / "images" / f"000{number}-1.png", grey=30 * number, size=(60, 50))
        talk = [
            {"from": "human", "value": "Illustrate the image through a detailed medical report\n<image>"},
            {"from": "report", "value": f'Gold "report" {number},\nin two lines.'},
        ]
        # Not in the order of their names: both tables keep the file's.
        asked.append({"id": f"000{6 - number}-1", "image": f"000{number}-1.png", "conversations": talk})
    (where / "questions.json").write_text(json.dumps(asked))
    return where


def infer(data: Path, out: Path, *more: object) -> tuple[list[list[str]], list[list[str]]] | None:
    flags = ["--model-name", data / "model", "--image-folder", data / "images"]
    flags += ["--question-file", data / "questions.json", "--max-new-tokens", 6, "--size", 56, 56]
    tables = [out / "pred.csv", out / "gt.csv"]
    call(infer_reports, *flags, "--answers-file-pred", tables[0], "--answers-file-gt", tables[1], *more)
    if not tables[0].is_file():
        return None
    pred, gold = (list(csv.reader(path.open(newline=""))) for path in tables)
    return pred, gold


def test_chunks_are_equal_to_no_chunks_for_1_to_9_chunks_of_7_rows(data: Path, tmp_path: Path) -> None:
    drawn = ("--temperature", 0.7, "--seed", 3)
    once = infer(data, tmp_path / "1", *drawn)
    assert once is not None
    pred, gold = once
    assert pred[0] == gold[0] == ["study_id", "report"]
    assert [row[0] for row in pred[1:]] == [row[0] for row in gold[1:]] == [f"000{6 - n}-1" for n in range(ROWS)]
    assert gold[1][1] == 'Gold "report" 0,\nin two lines.'
    assert len({row[1] for row in pred[1:]}) > 1
    for chunks in range(2, 10):
        assert infer(data, tmp_path / str(chunks), *drawn, "--num-chunks", chunks, "--batch-size", 1) == once, chunks


def test_a_chunk_that_is_there_is_not_made_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert infer(data, tmp_path, "--num-chunks", 3, "--chunk", 1) is None
    (folder,) = tmp_path.glob(".pred.csv.chunks-*")
    assert [path.name for path in folder.iterdir()] == ["1.jsonl"]
    made: list[int] = []
    original = infer_reports._make
    monkeypatch.setattr(infer_reports, "_make", lambda *given: (made.extend(given[-1]), original(*given)))
    assert infer(data, tmp_path, "--num-chunks", 3) is not None
    assert made == [0, 2]
    assert not folder.exists()


def test_rows_of_one_id_and_chunks_beyond_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--chunk 3 does not exist"):
        infer(data, tmp_path, "--num-chunks", 3, "--chunk", 3)
    rows = json.loads((data / "questions.json").read_text())
    twice = tmp_path / "twice.json"
    twice.write_text(json.dumps([rows[0], rows[0]]))
    with pytest.raises(InputError, match="0006-1"):
        infer(data, tmp_path, "--question-file", twice)
