"""How often the gate agrees with a reader: measured on tests/data/gate_answers.jsonl, told in docs/questions.md.

python tests/gate_report.py     writes the section of docs/questions.md anew
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture.datasets import cataract1k
from suture.qa import gate
from suture.qa.base import Facts, Relations
from suture.qa.names import ObjectNames
from suture.qa.reasons import Problem
from suture.qa.terms import Terms

ROOT = Path(__file__).parents[1]
ANSWERS = ROOT / "tests" / "data" / "gate_answers.jsonl"
PAGE = ROOT / "docs" / "questions.md"
BEGIN, END = "<!-- made by tests/gate_report.py -->", "<!-- end -->"

NAMES = ObjectNames.of(cataract1k)
TERMS = Terms.of(cataract1k, NAMES)


@dataclass(frozen=True)
class Row:
    """An answer, its reader's verdict, and why the gate refuses it: nothing where it lets it through."""

    id: int
    kind: str
    answer: str
    grounded: bool
    reason: str
    unlisted: bool
    problems: tuple[Problem, ...]

    @property
    def agreed(self) -> bool:
        return self.grounded != bool(self.problems)


def facts_of(row: dict[str, Any]) -> Facts:
    given = row["facts"]
    relations = given.get("relations")
    return Facts(
        clip="clip",
        case="case",
        phase=given["phase"],
        anatomy=tuple(given["anatomy"]),
        instruments=tuple(given["instruments"]),
        relations=relations
        and Relations(reference=relations["reference"], directions=tuple(map(tuple, relations["directions"]))),
    )


def measured() -> list[Row]:
    rows = []
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        problems = tuple(gate.check_answer(row["kind"], row["answer"], facts_of(row), TERMS))
        verdict = row["grounded"], row["reason"], row["unlisted_wording"]
        rows.append(Row(row["id"], row["kind"], row["answer"], *verdict, problems))
    return rows


def precision(rows: Sequence[Row]) -> float:
    """Share of what the gate lets through that the reader calls grounded."""
    let = [row for row in rows if not row.problems]
    return sum(row.grounded for row in let) / len(let)


def recall(rows: Sequence[Row]) -> float:
    """Share of what the reader calls grounded that the gate lets through."""
    good = [row for row in rows if row.grounded]
    return sum(not row.problems for row in good) / len(good)


def section() -> str:
    rows = measured()
    lines = ["| answers | n | grounded | let through | precision | recall |", "|---|---|---|---|---|---|"]
    parts = {
        "all": rows,
        "in the words of the gate's lists": [row for row in rows if not row.unlisted],
        "in other words": [row for row in rows if row.unlisted],
        **{f"kind {kind}": [row for row in rows if row.kind == kind] for kind in dict.fromkeys(r.kind for r in rows)},
    }
    for name, some in parts.items():
        good, let = sum(row.grounded for row in some), sum(not row.problems for row in some)
        numbers = f"{precision(some):.3f} | {recall(some):.3f}"
        lines.append(f"| {name} | {len(some)} | {good} | {let} | {numbers} |")
    missed = [row for row in rows if not row.agreed]
    lines += ["", f"Every answer on which gate and reader disagree ({len(missed)}):", ""]
    lines += ["| id | gate | answer | the reader's reason | the gate's |", "|---|---|---|---|---|"]
    for row in missed:
        said = "refuses" if row.problems else "lets through"
        why = ", ".join(dict.fromkeys(problem.reason for problem in row.problems))
        lines.append(f"| {row.id} | {said} | {row.answer} | {row.reason} | {why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{section()}{END}{rest.split(END)[1]}", encoding="utf-8")
    print(section())
