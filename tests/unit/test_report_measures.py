"""Measures of reports from models that Suture does not bring, and LLaVA-Med's own scoring of answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from support import SHARED
from suture import records, report_scores
from suture.errors import InputError
from suture.measures import radcliq, radgraph
from suture.report_scores import ReportScore
from suture.tasks import medical_vqa, report
from suture.tasks.base import Context, Measure, Missing, Row

GOLDEN = SHARED / "cxr_metrics" / "radcliq_golden.json"


def values(rows: list[Row], made: list[Measure | Missing]) -> dict[str, float]:
    units = max(row.unit for row in rows) + 1
    return {one.key: float(one.statistic(np.ones((1, units)))[0]) for one in made if isinstance(one, Measure)}


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the shared data are not here")
def test_radcliq_is_the_published_programs() -> None:
    table = json.loads(GOLDEN.read_text())
    assert table["columns"][:4] == ["radgraph_combined", "bertscore", "semb_score", "bleu_2"]
    for *given, v0, v1 in table["rows"]:
        assert radcliq.V0(*given) == pytest.approx(v0, abs=1e-5)
        assert radcliq.V1(*given) == pytest.approx(v1, abs=1e-5)


def test_radcliq_of_a_perfect_report_is_the_lowest_that_is_published() -> None:
    assert radcliq.V0(1, 1, 1, 1) == pytest.approx(-0.2421, abs=1e-4)
    assert radcliq.V1(1, 1, 1, 1) == pytest.approx(-1.4407, abs=1e-4)


def entities(*of: tuple[str, str, list[list[str]]]) -> dict[str, object]:
    return {
        str(n): {"tokens": tokens, "label": label, "start_ix": n, "end_ix": n, "relations": relations}
        for n, (tokens, label, relations) in enumerate(of, start=1)
    }


def test_radgraph_counts_what_is_shared(tmp_path: Path) -> None:
    gold = entities(("heart", "ANAT-DP", []), ("large", "OBS-DP", [["located_at", "1"]]), ("lungs", "ANAT-DP", []))
    said = entities(("heart", "ANAT-DP", []), ("large", "OBS-DP", [["located_at", "1"]]))
    path = tmp_path / "graphs.json"
    path.write_text(json.dumps({"a": {"text": "", "entities": gold}, "b": {"text": "", "entities": said}}))
    read = radgraph.read(path)
    # 2 of 2 and 3 entities: F1 0.8; the one relation of both: F1 1.
    assert radgraph.f1(read["b"], read["a"]) == pytest.approx((0.8 + 1) / 2)
    assert radgraph.f1(radgraph.graph({}), read["a"]) == 0
    path.write_text('{"a": {"entities": {"1": {"tokens": "x"}}}}')
    with pytest.raises(InputError, match="not RadGraph"):
        radgraph.read(path)


def rows() -> list[Row]:
    texts = [("large heart .", "large heart ."), ("clear lungs .", "small heart .")]
    return [Row(id=str(n), turn=0, answer=gold, prediction=said, unit=n) for n, (said, gold) in enumerate(texts)]


def flags(*told: int) -> tuple[bool, ...]:
    return tuple(place in told for place in range(14))


def test_scores_of_reports_become_measures_and_what_is_missing_is_told(tmp_path: Path) -> None:
    mine = rows()
    pairs = [report_scores.pair(row.prediction, row.answer) for row in mine]
    scores = [
        ReportScore(
            pair=pairs[0],
            bertscore=0.9,
            bertscore_rescaled=0.6,
            similarity=1.0,
            told=flags(1),
            gold=flags(1),
            radgraph=1.0,
        ),
        ReportScore(
            pair=pairs[1],
            bertscore=0.8,
            bertscore_rescaled=0.2,
            similarity=0.5,
            told=flags(4),
            gold=flags(1, 2),
            radgraph=0.0,
        ),
    ]
    path = tmp_path / "scores.jsonl"
    records.write(path, scores)
    assert "heart" not in path.read_text()
    made = report.measures(mine, 2, Context(report_scores=report_scores.read(path)))
    found = values(mine, made)
    assert found["bertscore"] == pytest.approx(0.85)
    assert found["bertscore_rescaled"] == pytest.approx(0.4)
    assert found["chexbert_sim"] == pytest.approx(0.75)
    # 1 hit, 2 told, 3 right; of the five 1 hit, 2 told, 2 right; each finding's F1: 2/3 for the second, else 0.
    assert found["chexbert_f1"] == pytest.approx(2 * 1 / (2 + 3))
    assert found["chexbert_f1_5"] == pytest.approx(2 * 1 / (2 + 2))
    assert found["chexbert_f1_macro"] == pytest.approx((2 / 3) / 14)
    assert found["radgraph_f1"] == 0.5
    bleu = [report_scores.bleu_2(row.prediction, row.answer) for row in mine]
    each = [radcliq.V1(1.0, 0.6, 1.0, bleu[0]), radcliq.V1(0.0, 0.2, 0.5, bleu[1])]
    assert found["radcliq_v1"] == pytest.approx(np.mean(each))
    assert next(one for one in made if one.key == "radcliq_v1").lower_is_better  # type: ignore[union-attr]
    without = {one.key: one.reason for one in report.measures(mine, 2) if isinstance(one, Missing)}
    assert {"chexbert_f1", "chexbert_sim", "radgraph_f1", "radcliq_v0", "radcliq_v1", "bertscore"} <= without.keys()
    assert "measure_reports.py" in without["radgraph_f1"]
    some = Context(report_scores={pairs[0]: scores[0]})
    told = {one.key: one.reason for one in report.measures(mine, 2, some) if isinstance(one, Missing)}
    assert told["chexbert_f1"] == "not all of these reports are among --report-scores"


def test_a_baseline_of_bertscore_is_that_of_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "distilroberta-base.tsv"
    path.write_text("LAYER,P,R,F\n4,0.1,0.1,0.1\n5,0.6,0.6,0.75\n")
    assert report_scores.baseline(path, 5) == 0.75
    with pytest.raises(InputError, match="no baseline of layer 6"):
        report_scores.baseline(path, 6)


@pytest.mark.parametrize(
    ("said", "gold", "recall", "f1"),
    [
        ("The left lung.", "left lung", 1.0, 1.0),
        ("left left heart", "left lung", 2 / 3, 2 / 3),  # upstream counts a shared word as often as it is said
        ("heart", "left lung", 0.0, 0.0),
        ("", "left lung", 0.0, 0.0),
    ],
)
def test_open_answers_by_their_words(said: str, gold: str, recall: float, f1: float) -> None:
    assert medical_vqa.overlap(said, gold) == pytest.approx((recall, f1))


def test_closed_answers_by_containment_and_no_judge() -> None:
    asked = [
        ("Yes, it is.", "yes", ""),
        ("No.", "Yes", ""),
        ("It is in the right lung", "right lung", "CLOSED"),
        ("knowledge", "no", ""),  # no part of a word counts
        ("A large heart", "large heart", "OPEN"),
    ]
    mine = [
        Row(id=str(n), turn=0, answer=gold, prediction=said, kind=kind, unit=n)
        for n, (said, gold, kind) in enumerate(asked)
    ]
    made = medical_vqa.measures(mine, len(mine))
    found = values(mine, made)
    assert found["acc_closed"] == pytest.approx(2 / 4)
    assert (found["recall"], found["f1"]) == (1.0, 1.0)
    assert {one.key for one in made if isinstance(one, Missing)} == {"gpt4_score"}
