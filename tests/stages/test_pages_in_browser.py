"""The pages as a reader sees them, in a real browser: wide and narrow, light and dark, one experiment and many."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from browser import chromium, measure
from report_run import arguments, full_entry, write_run
from review_run import write_reviewed
from support import run_script
from suture.reviewing import corrections


@pytest.fixture(scope="module", autouse=True)
def browser() -> str:
    return chromium()


@pytest.fixture(scope="module", params=[1, 40])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it, of one experiment or of forty with long names."""
    folder = tmp_path_factory.mktemp(f"experiments-{request.param}")
    names = [f"qwen2.5-vl-7b-instruct-cataract1k-lora-rank-16-seed-{i}" for i in range(request.param)]
    write_run(folder, {name: full_entry(i) for i, name in enumerate(names)})
    more = ["--qa-quality", folder / "qa_quality.json", "--review", folder / "review.json"]
    run_script("report", *arguments(folder, names), *more)
    return folder / "report.html"


def check(seen: dict[str, Any], *, width: int, dark: bool) -> None:
    assert seen["width"] == width and seen["dark"] is dark
    assert (seen["overflow"], seen["outside"]) == (0, []), "the page scrolls sideways"
    assert (seen["requests"], seen["blocked"], seen["console"]) == ([], [], [])
    assert seen["pale"] == [], "text with a contrast below 4.5 (WCAG 2, AA)"
    assert seen["unreachable"] == 0, "what scrolls cannot be reached by keyboard"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True), (400, False)])
def test_the_report_fits_is_legible_and_asks_for_nothing(report: Path, tmp_path: Path, width: int, dark: bool) -> None:
    seen = measure(report, tmp_path, width=width, dark=dark)
    check(seen, width=width, dark=dark)
    assert (seen["page"] == "rgb(14, 22, 24)") is dark


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A review page of four answers about two clips, one of which cannot be read; a text tries to be mark-up."""
    folder = tmp_path_factory.mktemp("review") / "demo"
    write_reviewed(folder)
    run_script("review", "--run", folder, "--count", 10)
    return folder / "review.html"


KEYS = """
  const element = (id) => document.getElementById(id);
  const press = (key, more = {}) =>
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
  found.first = element("answer").textContent;
  press("a");
  found.after = [element("said").textContent, element("place").textContent];
  press("r");
  press("f");
  element("fix-answer").value = 'The "Pupil", no more';
  press("a");  // a letter of the text, no verdict
  found.fixing = element("said").textContent;
  press("Enter", { ctrlKey: true });
  found.end = [element("said").textContent, element("tally").textContent];
  element("reviewer").value = "AB";
  element("reviewer").dispatchEvent(new Event("input"));
  found.kept = Object.keys(localStorage).length;
  found.title = document.title;
  let exported;
  URL.createObjectURL = (blob) => { exported = blob; return "#"; };
  HTMLAnchorElement.prototype.click = function () { found.name = this.download; };
  press("e");
  const reading = new FileReader();
  reading.onload = () => { found.csv = reading.result; tell(); };
  reading.readAsText(exported);
"""


def test_a_review_by_keyboard_gives_the_file_that_the_run_reads(review: Path, tmp_path: Path) -> None:
    seen = measure(review, tmp_path, width=1280, dark=False, script=KEYS)
    check(seen, width=1280, dark=False)
    assert seen["after"][0] == "1 of 4 judged" and seen["after"][1].startswith("2 of 4")
    assert seen["fixing"] == "2 of 4 judged", "letters of a text are no verdicts"
    assert seen["end"] == ["3 of 4 judged", "1 accepted, 1 fixed, 1 rejected"]
    assert (seen["name"], seen["kept"]) == ("corrections.csv", 1)
    assert "broken" not in seen["title"], "a text of the data became mark-up"
    rows = list(csv.DictReader(io.StringIO(seen["csv"].removeprefix("\ufeff"))))
    assert [row["verdict"] for row in rows] == ["accept", "reject", "fix"]
    assert rows[0]["answer"] == seen["first"] and {row["reviewer"] for row in rows} == {"AB"}
    (tmp_path / "corrections.csv").write_text(seen["csv"], newline="", encoding="utf-8")
    read = corrections.read([tmp_path / "corrections.csv"])
    assert read[2].answer == 'The "Pupil", no more' and [one.turn for one in read] == [int(row["turn"]) for row in rows]


def test_the_review_page_fits_a_telephone(review: Path, tmp_path: Path) -> None:
    check(measure(review, tmp_path, width=400, dark=True), width=400, dark=True)
