"""A review: what is drawn for it, what its file says, and what that changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from suture.errors import InputError
from suture.records import Sample, Turn
from suture.reviewing import corrections, rate
from suture.reviewing.drawing import draw, quotas

HEADER = "case,id,turn,verdict,question,answer,reviewer,note\n"


def sample(name: str, *, case: str = "case_1", phase: str = "Incision", kinds: tuple[str, ...] = ("phase",)) -> Sample:
    turns = tuple(Turn(question=f"{kind} of {name}?", answer=f"{kind}, {name}", kind=kind) for kind in kinds)
    return Sample(id=name, case=case, clip=name, phase=phase, turns=turns)


def csv(tmp_path: Path, *rows: str, header: str = HEADER) -> list[Path]:
    (tmp_path / "corrections.csv").write_text(header + "".join(row + "\n" for row in rows))
    return [tmp_path / "corrections.csv"]


def applied(tmp_path: Path, samples: list[Sample], *rows: str) -> Any:
    return corrections.apply(samples, corrections.read(csv(tmp_path, *rows)))


@pytest.mark.parametrize(
    ("wrong", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_wilson_interval_is_newcombes(wrong: int, n: int, low: float, high: float) -> None:
    # Newcombe (1998), Statistics in Medicine 17: 857-872, table I, method 3.
    assert rate.wilson(wrong, n) == pytest.approx((low, high), abs=5e-5)


def test_the_wilson_interval_ends_at_its_bounds() -> None:
    assert rate.wilson(0, 7)[0] == 0.0
    assert rate.wilson(7, 7)[1] == 1.0
    assert rate.wilson(0, 0) == (0.0, 1.0)


def test_the_draw_is_proportional_and_leaves_no_stratum_out() -> None:
    sizes = {("phase", "a"): 700, ("phase", "b"): 290, ("phase", "c"): 10}
    assert quotas(sizes, 100) == {("phase", "a"): 70, ("phase", "b"): 29, ("phase", "c"): 1}
    assert quotas({("k", "a"): 997, ("k", "b"): 2, ("k", "c"): 1}, 10) == {("k", "a"): 8, ("k", "b"): 1, ("k", "c"): 1}
    assert quotas(sizes, 5000) == sizes


def test_the_draw_goes_over_all_cases_and_is_repeatable() -> None:
    samples = [
        sample(f"{case}_{i}", case=case, phase=phase, kinds=("phase", "anatomy"))
        for case in ("a", "b", "c", "d")
        for i, phase in enumerate(["x", "y"] * 10)
    ]
    asked = draw(samples, 16, seed=1)
    assert Counter(one.stratum for one in asked) == dict.fromkeys(
        [(kind, phase) for kind in ("anatomy", "phase") for phase in "xy"], 4
    )
    assert Counter(one.sample.case for one in asked) == dict.fromkeys("abcd", 4)
    assert draw(list(reversed(samples)), 16, seed=1) == asked
    assert draw(samples, 16, seed=2) != asked


def test_what_has_been_judged_is_not_drawn_again() -> None:
    samples = [sample("s1", kinds=("phase", "anatomy")), sample("s2")]
    assert [(one.sample.id, one.number) for one in draw(samples, 9, seed=1, judged={("s1", 0), ("s2", 0)})] == [
        ("s1", 1)
    ]


def test_a_fix_replaces_and_a_reject_drops_with_its_reason(tmp_path: Path) -> None:
    samples = [sample("s1", kinds=("phase", "anatomy")), sample("s2"), sample("s3")]
    kept, dropped = applied(
        tmp_path, samples, 'case_1,s1,1,Fix,,"The ""Pupil"",\nand no more",AB,', "case_1,s2,0,reject,,,AB,blurred"
    )
    assert [one.id for one in kept] == ["s1", "s3"], "a sample without a turn left is dropped"
    assert kept[0].turns[1] == Turn(question="anatomy of s1?", answer='The "Pupil",\nand no more', kind="anatomy")
    assert kept[0].turns[0] == samples[0].turns[0] and kept[1] == samples[2]
    assert [(one.stage, one.reason, one.case, one.where) for one in dropped] == [
        ("review", "rejected_by_reviewer", "case_1", "corrections.csv:4")
    ]
    assert dropped[0].detail == "s2, turn 0: rejected in the review: blurred"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("case_1,s9,0,reject,,,,", "case 'case_1' has no sample 's9'"),
        ("case_2,s1,0,reject,,,,", "case 'case_2' has no sample 's1'; it is of case 'case_1'"),
        ("case_1,s1,5,reject,,,,", "sample 's1' has 1 turns, from 0; there is no turn 5"),
        ("case_1,s1,0,rejct,,,,", "verdict 'rejct'; did you mean 'reject'?"),
        ("case_1,s1,-1,reject,,,,", "turn '-1' is not a number"),
        ("case_1,s1,0,fix,,,,", "a fix without an answer"),
        ("case_1,s1,0,fix,,The Cornea, the Pupil,,", "1 cells more than the header has"),
        ("case_1,s1,0,reject,,an older answer,,", "reads otherwise now than when it was rejected"),
    ],
)
def test_what_cannot_be_meant_is_named_with_file_and_line(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        applied(tmp_path, [sample("s1")], row + ("x" if "cells" in said else ""))
    assert said in str(caught.value) and "corrections.csv:2" in str(caught.value)


def test_two_verdicts_on_one_answer_are_refused_and_agreement_is_not(tmp_path: Path) -> None:
    rows = ("case_1,s1,0,accept,,,AB,", "case_1,s1,0,reject,,,CD,")
    with pytest.raises(InputError, match=r"'accept' and 'reject' of 's1', turn 0"):
        corrections.read(csv(tmp_path, *rows))
    assert len(corrections.read(csv(tmp_path, rows[0], rows[0].replace("AB", "CD")))) == 2


def test_a_spreadsheets_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_bytes(b"\xef\xbb\xbfID;Case;Turn;Verdict;Answer\r\ns1;case_1;0;REJECT;\r\ns2;case_1;0;;\r\n;;;;\r\n")
    found = corrections.read([path])
    assert [(one.id, one.verdict) for one in found] == [("s1", "reject")], "a row without a verdict judges nothing"


def test_the_digest_knows_what_changes_and_nothing_else(tmp_path: Path) -> None:
    def digest(*rows: str) -> str:
        changing = corrections.effective(corrections.read(csv(tmp_path, *rows)))
        return corrections.digest_of(changing.get("case_1", []))

    fix, reject = "case_1,s1,0,fix,,right,AB,", "case_1,s2,0,reject,,,AB,why"
    assert digest(fix, reject) == digest("case_1,s3,0,accept,,,,", reject.replace("why", "so"), fix.replace("AB", "CD"))
    assert digest(fix, reject) != digest(fix)
    assert digest(fix) != digest(fix.replace("right", "left"))
    assert digest("case_2,s2,0,reject,,,,") == digest()


def test_the_error_rate_counts_each_answer_once(tmp_path: Path) -> None:
    samples = [sample(f"s{i}", kinds=("phase", "anatomy")) for i in range(4)]
    rows = [
        'case_1,s0,0,accept,phase of s0?,"phase, s0",AB,',
        "case_1,s0,0,accept,,,CD,",
        "case_1,s1,0,reject,,,AB,",
        "case_1,s2,0,fix,,another,AB,",
        'case_1,s3,0,fix,,"phase, s3",AB,',  # the text that stands there: an accept
        "case_1,s0,1,accept,,an older answer,AB,",  # judged another text
        "case_1,s1,1,accept,,,AB,",
    ]
    found = rate.summary(corrections.read(csv(tmp_path, *rows)), samples)
    assert {key: found[key] for key in ("accepted", "fixed", "rejected", "outdated", "n", "wrong", "reviewers")} == {
        "accepted": 3, "fixed": 1, "rejected": 1, "outdated": 1, "n": 5, "wrong": 2, "reviewers": 2,
    }  # fmt: skip
    assert found["by"]["kind"]["phase"]["value"] == 0.5
    assert (found["low"], found["high"]) == rate.wilson(2, 5)
