"""Scores of FADA's eight questions: readings of answers, partial credit, and the task around them."""

from __future__ import annotations

import numpy as np
import pytest

from suture import scoring
from suture.datasets.fetal_ultrasound.questions import KINDS, STANDARD
from suture.datasets.fetal_ultrasound.structures import STRUCTURES
from suture.drawing import scans
from suture.measures import fetal
from suture.tasks import fetal_vqa
from suture.tasks.base import Measure, Missing, Row

GOLD = (
    "fetal spine, liver, stomach bubble",
    "Cephalic presentation",
    "Transverse trans-abdominal plane",
    "BPD and HC",
    "20-25 weeks",
    "Good image quality",
    "Normal for gestational age",
    "Prenatal routine monitoring",
)


def rows(said: tuple[str, ...], gold: tuple[str, ...] = GOLD, case: str = "a", unit: int = 0) -> list[Row]:
    return [
        Row(
            id=f"{case}.{question.kind}",
            turn=0,
            answer=right,
            prediction=words,
            case=case,
            kind=question.kind,
            question=question.text,
            unit=unit,
        )
        for question, words, right in zip(STANDARD, said, gold, strict=True)
    ]


def values(found: list[Row], n_units: int = 1) -> dict[str, float]:
    measured = [one for one in fetal_vqa.measures(found, n_units) if isinstance(one, Measure)]
    return {one.key: float(one.statistic(np.ones((1, n_units)))[0]) for one in measured}


def test_the_gold_answers_score_one_and_nonsense_nothing() -> None:
    best = values(rows(GOLD))
    assert {key: value for key, value in best.items() if value != 1.0} == {}
    assert set(fetal_vqa.PRIMARY.values()) <= set(best)
    worst = values(rows(("x",) * 8))
    assert {worst[key] for key in ("primary", "acc", *fetal_vqa.PRIMARY.values())} == {0.0}
    assert tuple(fetal_vqa.PRIMARY) == KINDS


def test_partial_credit_is_the_published_scorers() -> None:
    said = (
        "spine; vertebral column, stomach and heart",  # 2 of 3 found, 2 of 3 right
        "cephalic, occiput to the left",
        "Transabdominal",
        "head circumference",
        "25-30 weeks",
        "acceptable",
        "No abnormality is seen",
        "routine monitoring",
    )
    found = values(rows(said))
    assert found["set_f1@anatomy"] == pytest.approx(2 / 3)
    assert found["set_f2@anatomy"] == pytest.approx(2 / 3)
    assert found["relaxed@orientation"] == found["relaxed@plane"] == 0.5
    assert found["keyword_f1@measurements"] == pytest.approx(2 / 3)
    assert found["bin@gestational_age"] == found["tier@quality"] == 0.5
    assert found["binary@normality"] == 1.0
    assert found["rouge_l@recommendations"] == pytest.approx(0.8)
    own = [found[key] for key in fetal_vqa.PRIMARY.values()]
    assert found["primary"] == pytest.approx(sum(own) / 8)
    assert found["acc"] == 0.0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8-13 weeks", 0),
        ("12w+4d", 0),
        ("14 weeks", 1),
        ("15 to 20 weeks", 2),
        ("about 22 weeks", 3),
        ("30\u201335 Weeks.", 5),
        ("36", 6),
        ("38+ weeks", 7),
        ("11-13 month", None),
        ("18-200 weeks", None),
        ("not known", None),
        ("", None),
    ],
)
def test_an_age_is_read_into_the_published_bins(text: str, number: int | None) -> None:
    assert fetal.age_bin(text) == number


def test_an_age_that_cannot_be_read_is_right_only_where_the_texts_are_equal() -> None:
    assert fetal.age_score("Cannot be told.", "cannot be told") == 1.0
    assert fetal.age_score("20 weeks", "cannot be told") == 0.0
    assert fetal.age_score("8-13 weeks", "20-25 weeks") == 0.0


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Normal", "normal"),
        ("within normal limits", "normal"),
        ("No visible abnormalities", "normal"),
        ("Abnormal NT thickening", "abnormal"),
        ("not normal", "abnormal"),
        ("dilated lateral ventricle", "abnormal"),
        ("cannot be assessed", ""),
    ],
)
def test_normal_and_abnormal(text: str, read: str) -> None:
    assert fetal.normality(text) == read


def test_structures_are_known_by_their_synonyms_and_others_by_their_words() -> None:
    assert fetal.structures("Stomach bubble, IVC & the Calvarium.", STRUCTURES) == {
        "stomach",
        "inferior vena cava",
        "fetal skull",
    }
    assert fetal.structures("liver, no stomach", STRUCTURES) == {"liver"}
    assert fetal.structures("Probe marker, liver", STRUCTURES) == {"probe marker", "liver"}
    assert fetal.f_score(frozenset({"a"}), frozenset({"a", "b"}), 2.0) == pytest.approx(5 / 9)
    assert fetal.f_score(frozenset(), frozenset()) == 1.0


def test_measurements_are_known_by_their_letters_and_their_words() -> None:
    assert fetal.measurements("Biparietal diameter (BPD) and HC") == {"BPD", "HC"}
    assert fetal.measurements("The NT is thick; CRL") == {"NT", "CRL"}
    assert fetal.measurements("accurate") == frozenset()


def test_an_experiments_entry_has_each_questions_measure_beside_the_majority() -> None:
    gold = [scans.plan("Abdomen", number, 1).answers for number in range(20)]
    found = [row for case, each in enumerate(gold) for row in rows(gold[0], each, case=str(case))]
    units = scoring.number_units(found)
    entry = scoring.entry(
        fetal_vqa, units, split="test", leaky=False, baselines={"majority": units.rows}, not_computed={}, resamples=100
    )
    assert set(fetal_vqa.PRIMARY.values()) <= set(entry["metrics"]) and "primary" in entry["metrics"]
    assert entry["baselines"]["majority"]["primary"]["value"] == entry["metrics"]["primary"]["value"]
    assert set(entry["by"]["kind"]) == set(KINDS)
    assert entry["by"]["kind"]["plane"]["primary"]["value"] == entry["metrics"]["relaxed@plane"]["value"]
    assert [one["kind"] for one in entry["tables"]["questions"]] == list(KINDS)
    assert entry["tables"]["confusion"]["gold"] == ["normal", "abnormal"]
    assert entry["not_computed"]["bertscore@recommendations"].startswith("no folder of an encoder")


def test_what_cannot_be_computed_is_said() -> None:
    gold = (*GOLD[:6], "cannot be assessed", GOLD[7])
    missing = {one.key: one.reason for one in fetal_vqa.measures(rows(GOLD, gold), 1) if isinstance(one, Missing)}
    assert missing["binary@normality"] == "no gold answer says normal or abnormal"
    missing = {one.key: one.reason for one in fetal_vqa.measures(rows(GOLD), 1) if isinstance(one, Missing)}
    assert missing["sensitivity@normality"] == "no gold answer says abnormal"


def test_drawn_answers_can_be_read() -> None:
    for category in scans.PARTS:
        for number in range(30):
            anatomy, side, plane, measured, age, quality, normal, _ = scans.plan(category, number, 3).answers
            assert fetal.structures(anatomy, STRUCTURES) <= set(STRUCTURES)
            assert fetal.presentation(side) and fetal.tier(quality) and fetal.normality(normal)
            assert fetal.age_bin(age) is not None
            assert fetal.plane(plane) or plane == "Oblique plane"
            assert fetal.measurements(measured) or measured == "Not measurable"
