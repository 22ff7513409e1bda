"""The page a clinician reviews in: one file that works from a disk, without a network (template: workflow/report)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from suture.files import sha256_text
from suture.reviewing.clips import Shown
from suture.reviewing.corrections import COLUMNS
from suture.reviewing.drawing import Asked

TEMPLATES = Path(__file__).parents[3] / "report"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the page shows: answers in the order of review, ``clips`` by id; ``total`` answers they are drawn from."""

    run: str
    sharing: str
    asked: Sequence[Asked]
    clips: Mapping[str, Shown]
    total: int
    thinned: int
    left_out: int


def render(page: Page) -> str:
    """Renders the page; texts are carried as JSON in which no mark-up can begin."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    items = [_item(one) for one in page.asked]
    clips = {name: {"kind": one.kind, "uri": one.uri, "words": one.words} for name, one in page.clips.items()}
    # What was decided is kept under the texts it was decided of: another draw, or other texts, begin anew.
    key = f"suture-review-{page.run}-{sha256_text(json.dumps(items, sort_keys=True))[:16]}"
    data = {"key": key, "columns": COLUMNS, "items": items, "clips": clips}
    return environment.get_template("review/page.html.j2").render(
        run=page.run,
        sharing=page.sharing,
        count=len(items),
        total=page.total,
        thinned=page.thinned,
        left_out=page.left_out,
        data=json.dumps(data, sort_keys=True).replace("<", "\\u003c"),
        style="".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "review/review.css")),
        script=(TEMPLATES / "review" / "review.js").read_text(encoding="utf-8"),
    )


def _item(one: Asked) -> dict[str, Any]:
    sample = one.sample
    return {
        "case": sample.case,
        "id": sample.id,
        "turn": one.number,
        "clip": sample.clip,
        "kind": one.turn.kind,
        "phase": sample.phase,
        "question": one.turn.question,
        "answer": one.turn.answer,
    }
