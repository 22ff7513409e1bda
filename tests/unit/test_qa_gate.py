"""The gate: against a reader's verdicts, and rule by rule."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

import gate_report
from gate_report import NAMES, TERMS
from suture.qa import gate, requests, schema
from suture.qa.base import ALL_KINDS, Facts, Relations
from suture.qa.requests import Reply
from suture.qa.spatial import DIRECTIONS
from suture.qa.template import WORDINGS, Template

FACTS = Facts(
    clip="case_1_0",
    case="case_1",
    phase="Phacoemulsification",
    anatomy=("Cornea", "Pupil"),
    instruments=("Spatula", "Phacoemulsification Tip"),
    relations=Relations(
        reference="Pupil", directions=(("Spatula", "to the left of"), ("Phacoemulsification Tip", "above"))
    ),
    before="Hydrodissection",
)
EMPTY = dataclasses.replace(
    FACTS, anatomy=(), instruments=(), relations=Relations(reference="Pupil", directions=()), before=""
)


def reasons(kind: str, answer: str, facts: Facts = FACTS) -> set[str]:
    return {problem.reason for problem in gate.check_answer(kind, answer, facts, TERMS)}


# --- against a reader ------------------------------------------------------------------------------------------------


def test_the_answers_are_two_hundred_different_ones_and_enough_of_them_in_other_words() -> None:
    rows = gate_report.measured()
    assert len({row.answer for row in rows}) == 200
    assert sum(row.unlisted for row in rows) >= 60
    assert 80 <= sum(row.grounded for row in rows) <= 120


def test_the_gate_agrees_with_a_reader_as_often_as_the_page_says() -> None:
    rows = gate_report.measured()
    print(f"precision {gate_report.precision(rows):.3f}, recall {gate_report.recall(rows):.3f}")
    # What it lets through is learnt from; what it refuses wrongly is asked for again.
    assert gate_report.precision(rows) >= 0.98
    assert gate_report.recall(rows) >= 0.55
    assert gate_report.recall([row for row in rows if not row.unlisted]) >= 0.9
    page = gate_report.PAGE.read_text(encoding="utf-8")
    assert gate_report.section() in page, "stale: PYTHONPATH=workflow/scripts python tests/gate_report.py"


# --- every sentence of the template is grounded ----------------------------------------------------------------------


def many_facts() -> Iterator[Facts]:
    yield FACTS
    yield EMPTY
    table = list(NAMES.kinds)
    anatomy, instruments = (NAMES.in_order(kind, table) for kind in ("anatomy", "instruments"))
    for at, phase in enumerate(TERMS.phases):
        here = instruments[at % 10 : at % 10 + at % 4]
        places = tuple((name, list(DIRECTIONS.values())[(at + n) % 9]) for n, name in enumerate(here))
        yield Facts(
            clip=str(at), case="c", phase=phase, anatomy=anatomy[: at % 4], instruments=here,
            relations=Relations(reference=anatomy[at % 3], directions=places), before=TERMS.phases[at - 1],
        )  # fmt: skip


@pytest.mark.parametrize("wording", range(4))
def test_what_the_template_writes_passes(wording: int) -> None:
    for facts in many_facts():
        for turn in Template(ALL_KINDS, first=wording).write(facts):
            assert gate.check_question(turn.kind, turn.question, facts, TERMS) == []
            assert gate.check_answer(turn.kind, turn.answer, facts, TERMS) == []


def test_another_clip_s_answer_is_refused_wherever_it_differs() -> None:
    template = Template(ALL_KINDS)
    written = [(facts, {turn.kind: turn.answer for turn in template.write(facts)}) for facts in many_facts()]
    refused = 0
    for facts, own in written:
        for _, other in written:
            for kind in own:
                if other[kind] != own[kind]:
                    assert reasons(kind, other[kind], facts), (kind, facts, other[kind])
                    refused += 1
    assert refused > 500


# --- rule by rule ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "answer", "reason"),
    [
        ("phase", "The phase is Hydrodissection.", "other_phase"),
        ("phase", "The current phase is the surgery.", "phase_missing"),
        ("phase", "The current phase is not Phacoemulsification.", "phase_denied"),
        ("phase", "The phase is Phacoemulsification or Incision.", "hedge"),
        ("phase", "The Phacoemulsification phase shows the Gauge.", "absent_object"),
        ("phase", "Phacoemulsification.", "too_short"),
        ("anatomy", "The visible structure is the Cornea.", "missing_object"),
        ("anatomy", "The Cornea, the Pupil and the Lens are visible.", "absent_object"),
        ("anatomy", "The Cornea, the Pupil and the Spatula are visible.", "other_kind_of_object"),
        ("anatomy", "The Cornea and the Pupil are not visible.", "object_denied"),
        ("anatomy", "The Cornea and the Pupil are visible in case_5013.", "file_name"),
        ("anatomy", "The Cornea and the Pupil are visible at 2:15 in the video.", "time"),
        ("anatomy", "The Cornea and the Pupil are visible at (409, 298).", "box"),
        ("anatomy", 'The video shows {"Cornea", "Pupil"} in the eye.', "json"),
        ("anatomy", "The annotation shows the Cornea and the Pupil.", "machinery"),
        ("anatomy", "I am sorry, the Cornea and the Pupil are visible.", "refusal"),
        ("anatomy", "Die Cornea und die Pupil sind sichtbar.", "language"),
        ("anatomy", "The Cornea and the Pupil は visible.", "language"),
        ("anatomy", "The Cornea and the Pupil and the Iris are visible.", "unknown_words"),
        ("anatomy", "The Cornea and the Pupil, the Cornea and the Pupil.", "repeats"),
        ("instruments", "No instrument is visible: the Spatula and the Phacoemulsification Tip.", "object_denied"),
        ("spatial", "With the Spatula in view, the Pupil is to the left; the phaco tip is above it.", "place_turned"),
        ("instruments", "Three instruments are visible: the Spatula and the Phacoemulsification Tip.", "number"),
        ("spatial", "The Spatula is to the right of the Pupil, the phaco tip above it.", "wrong_place"),
        ("spatial", "The Pupil is to the left of the Spatula and the phaco tip is above it.", "place_order"),
        ("order", "The phase before was Incision.", "phase_missing"),
        ("counts", "Three kinds of surgical instrument are visible.", "number"),
    ],
)
def test_what_is_wrong_is_refused_for_its_reason(kind: str, answer: str, reason: str) -> None:
    assert reason in reasons(kind, answer)


def test_synonyms_plurals_and_denials_of_what_is_not_there_pass() -> None:
    assert reasons("instruments", "The surgeon is using a spatula and a phaco tip.") == set()
    assert reasons("anatomy", "The cornea and the pupil are visible; the lens is not visible.") == set()
    assert reasons("instruments", "No surgical instrument is visible.", EMPTY) == set()
    assert reasons("order", "There is none before it, as this is the first phase.", EMPTY) == set()
    assert reasons("counts", "No kinds of instrument are visible.", EMPTY) == set()


@pytest.mark.parametrize(
    ("kind", "question", "reason"),
    [
        ("phase", "Is this the phacoemulsification phase?", "leak"),
        ("anatomy", "Are the cornea and other structures visible?", "leak"),
        ("spatial", "Which instrument lies left of the pupil, and where?", "leak"),
        ("instruments", "Which phase is shown in the video?", "other_question"),
        ("anatomy", "Which structures does the annotation show?", "machinery"),
        ("anatomy", "Which structures of the diseased eye are visible?", "unknown_words"),
        ("phase", "Phase?", "too_short"),
        ("phase", "Which phase is shown " + "in the video " * 20 + "?", "too_long"),
    ],
)
def test_what_may_not_be_asked_is_refused(kind: str, question: str, reason: str) -> None:
    assert reason in {problem.reason for problem in gate.check_question(kind, question, FACTS, TERMS)}


# --- whole replies ---------------------------------------------------------------------------------------------------

KINDS = ("phase", "anatomy", "instruments")


def reply(change: dict[str, Any] | None = None, *, finish: str = requests.STOP, wrap: str = "{}") -> Reply:
    value: dict[str, Any] = dict(schema.echo(FACTS))
    for turn in Template(KINDS).write(FACTS):
        value |= dict(zip(schema.keys(turn.kind), (turn.question, turn.answer), strict=True))
    value |= change or {}
    return Reply("id", wrap.replace("{}", json.dumps({k: v for k, v in value.items() if v is not None})), finish)


def judged(one: Reply) -> set[str]:
    result = gate.judge(one, FACTS, KINDS, TERMS)
    assert bool(result.turns) != bool(result.problems)
    return {problem.reason for problem in result.problems}


@pytest.mark.parametrize("wrap", ["{}", "```json\n{}\n```", "<think>The phase...</think>\n{}", "  {} \n"])
def test_a_good_reply_is_taken_in_the_order_of_the_kinds(wrap: str) -> None:
    result = gate.judge(reply(wrap=wrap), FACTS, KINDS, TERMS)
    assert [turn.kind for turn in result.turns] == list(KINDS)
    assert result.turns == Template(KINDS).write(FACTS)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (reply(finish=requests.LENGTH), "cut_off"),
        (reply(finish=requests.FILTERED), "refusal"),
        (Reply("id", "status 500, 3 times", requests.FAILED), "no_reply"),
        (reply(wrap="Here you are: {}"), "not_json"),
        (reply(wrap="[" * 100_000), "not_json"),
        (reply(wrap="[{}]"), "schema"),
        (Reply("id", "", requests.STOP), "not_json"),
        (Reply("id", "I'm sorry, but I cannot help with that.", requests.STOP), "refusal"),
        (reply({"phase": "Incision"}), "facts_changed"),
        (reply({"anatomy": ["Cornea"]}), "facts_changed"),
        (reply({"instruments": None}), "facts_changed"),
        (reply({"phase_answer": None}), "missing_pair"),
        (reply({"phase_answer": 7}), "schema"),
        (reply({"spatial_question": "Where?"}), "other_pair"),
        (reply({"phase_question": "Is this the Phacoemulsification phase?"}), "leak"),
        (reply({"anatomy_question": "Which surgical instruments are visible?"}), "near_duplicate"),
        (Reply("id", reply().text[:-1] + ', "phase": "Incision"}', requests.STOP), "repeated_key"),
    ],
)
def test_a_bad_reply_is_refused_as_a_whole(bad: Reply, reason: str) -> None:
    assert reason in judged(bad)


def test_the_schema_allows_the_facts_alone() -> None:
    found = schema.of(FACTS, KINDS)
    assert found["properties"]["phase"]["enum"] == ["Phacoemulsification"]
    assert found["properties"]["anatomy"]["items"]["enum"] == ["Cornea", "Pupil"]
    assert found["properties"]["instruments"]["minItems"] == 2
    assert found["required"] == ["phase", "anatomy", "instruments", *(k for kind in KINDS for k in schema.keys(kind))]
    assert found["additionalProperties"] is False
    # Flat: each kind of library for constrained decoding supports it.
    assert {one["type"] for one in found["properties"].values()} == {"string", "array"}


def test_there_are_questions_for_every_kind() -> None:
    assert set(WORDINGS) == set(ALL_KINDS)
    assert {len(found) for found in WORDINGS.values()} == {4}
