"""Questions that have a measure each stand beside each other in the report, over experiments and parts of the data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import report
from report_run import arguments, entry, estimate, write_run
from support import call
from suture.reporting import verdict
from suture.reporting.by_question import compile_questions

KEYS = {"anatomy": "set_f1@anatomy", "gestational_age": "bin@gestational_age"}


def asked(part: str, anatomy: float, age: float, *, majority: float = 0.5) -> dict[str, Any]:
    """An experiment on one category with two questions, whose intervals reach 0.05 to both sides."""
    values = {KEYS["anatomy"]: anatomy, KEYS["gestational_age"]: age, "primary": (anatomy + age) / 2}
    found = {key: estimate(value, value - 0.05, value + 0.05) for key, value in values.items()}
    sure = {"sensitivity@normality": estimate(0.1, 0.0, 0.2), "acc": estimate(0.3, 0.2, 0.4)}
    baseline = {key: {"value": majority, "low": 0.4, "high": 0.6} for key in [*found, *sure]}
    return entry(0.5) | {
        "metrics": found | sure,
        "baselines": {
            "majority": baseline,
            "blind": {},
            "ceiling": {KEYS["anatomy"]: {"value": 1.0, "low": 1.0, "high": 1.0}},
        },
        "by": {"phase": {part: dict(found)}},
        "tables": {"questions": [{"kind": kind, "key": key, "question": "?"} for kind, key in KEYS.items()]},
    }


def joint() -> dict[str, Any]:
    made = asked("Femur", 0.9, 0.52)
    made["by"]["phase"]["Thorax"] = {KEYS["anatomy"]: estimate(0.8, 0.7, 0.9, n=20)}
    return made


EXPERIMENTS = {"joint": joint(), "Femur": asked("Femur", 0.7, 0.5), "surgery": entry(0.5)}


def test_a_category_s_own_model_stands_above_the_joint_one_on_that_category() -> None:
    made = compile_questions(EXPERIMENTS)
    assert made is not None
    assert [(row.part, row.experiment) for row in made.rows] == [
        ("Femur", "Femur"), ("Femur", "joint"), ("Thorax", "joint"), ("all", "joint"),
    ]  # fmt: skip
    assert made.labels == ("mean over questions", "anatomy: F1 of names", "gestational age: right or next bin")
    own, part, other, whole = (
        [cell and (cell.value, cell.bar, cell.outcome) for cell in row.cells] for row in made.rows
    )
    assert own[1:] == [(0.7, 0.5, "beats"), (0.5, 0.5, "fails")]
    assert part[1] == (0.9, None, "alone") and whole[1] == (0.9, 0.5, "beats")
    assert other == [None, (0.8, None, "alone"), None]


def test_a_question_is_the_mean_over_experiments_and_counts_those_above_their_baseline() -> None:
    made = compile_questions(EXPERIMENTS)
    assert made is not None
    anatomy, age = made.questions
    assert (round(anatomy.mean, 3), anatomy.bar, anatomy.above, anatomy.compared) == (0.8, 0.5, 2, 2)
    assert (round(age.mean, 3), age.above, age.compared) == (0.51, 0, 2)


def test_a_leaky_split_is_above_nothing() -> None:
    made = compile_questions({"joint": joint() | {"leaky": True}})
    assert made is not None
    assert (made.questions[0].above, made.questions[0].compared) == (0, 0) and all(row.leaky for row in made.rows)
    assert compile_questions({"surgery": entry(0.5)}) is None


def test_the_verdict_is_by_each_question_s_own_measure() -> None:
    lines = verdict.judge("joint", joint()).lines
    assert [(line.key, line.outcome) for line in lines] == [
        ("acc", "fails"), (KEYS["anatomy"], "beats"), (KEYS["gestational_age"], "fails"),
    ]  # fmt: skip
    # Who always says "normal" has no sensitivity, and no worse a score for it.
    assert verdict.weak_keys(joint()) == {"acc", KEYS["gestational_age"]}


def test_the_page_has_plot_and_table(tmp_path: Path) -> None:
    write_run(tmp_path, EXPERIMENTS)
    call(report, *arguments(tmp_path, list(EXPERIMENTS)))
    page = (tmp_path / "report.html").read_text()
    plot = re.search(r'<figure class="panel" id="by-question">(.*?)</figure>', page, flags=re.S)
    assert plot is not None
    assert re.findall(r"(\d) of (\d) above", plot[1]) == [("2", "2"), ("0", "2")]
    assert plot[1].count('<circle class="dot beats"') == 2 and plot[1].count('<circle class="dot fails"') == 2
    table = re.search(r'aria-label="All experiments by question".*?</table>', page, flags=re.S)
    assert table is not None
    rows = re.findall(r'<th scope="row">(\w+)</th><td>(\w+)', table[0])
    assert rows == [("Femur", "Femur"), ("Femur", "joint"), ("Thorax", "joint"), ("all", "joint")]


def test_a_run_without_such_questions_has_neither(tmp_path: Path) -> None:
    write_run(tmp_path, {"surgery": entry(0.5)})
    call(report, *arguments(tmp_path, ["surgery"]))
    page = (tmp_path / "report.html").read_text()
    assert "by-question" not in page and "by question" not in page
