"""report.py as a process: what a reader finds in the page, and what must not be in it."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import stat
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from report_run import GRAPH, SCRIPT, arguments, entry, full_entry, prediction, write_json, write_jsonl, write_run
from support import run_script


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The files of a small run with two experiments: `good` beats its baselines, `weak` does not on phase."""
    write_run(tmp_path, {"good": entry(0.55), "weak": entry(0.45)})
    return tmp_path


def report(run: Path, *more: object, sharing: str = "open", code: int = 0) -> str:
    said = run_script("report", *arguments(run, ["good"], sharing=sharing), *more, code=code)
    return (run / "report.html").read_text(encoding="utf-8") if code == 0 else said


def set_metrics(run: Path, **experiments: object) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    write_json(run / "metrics.json", {**metrics, "experiments": {**metrics["experiments"], **experiments}})


class Reader(HTMLParser):
    """Collects text, attributes and ids, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def figure(page: str, experiment: str) -> str:
    """The verdict of one experiment: from its heading to the end of its figure."""
    return page.split(f"<h3>{experiment}</h3>")[1].split("</figure>")[0]


def test_an_experiment_that_does_not_beat_its_baseline_is_red_and_said_in_words(run: Path) -> None:
    page = report(run)
    text = Reader(page).text
    assert "1 of 2 experiments beats answering without the video on every measure" in text
    assert "Not above what needs no video: weak on phase" in text
    weak, good = figure(page, "weak"), figure(page, "good")
    assert re.findall(r'class="track (\w+)"', weak) == ["beats", "fails"]
    assert "not above majority 50.0 %" in weak
    assert re.findall(r'class="track (\w+)"', good) == ["beats", "beats"]
    assert "not above" not in good
    assert 'class="panel headline fails"' in page
    assert re.search(r"\.track\.fails \.dot[^{]*\{ fill: var\(--bad\)", page)


def test_a_lower_end_on_the_baseline_does_not_beat_it(run: Path) -> None:
    set_metrics(run, good=entry(0.5))
    assert "None of 2 experiments beat answering without the video" in report(run)


def test_without_a_baseline_nothing_is_claimed(run: Path) -> None:
    set_metrics(run, good={**entry(0.55), "baselines": {}}, weak={**entry(0.55), "baselines": {}})
    text = Reader(report(run)).text
    assert "None of 2 experiments has a baseline to stand beside" in text
    assert "no baseline" in text
    assert "above majority" not in text


def test_a_leaky_split_is_marked_wherever_its_numbers_stand(run: Path) -> None:
    set_metrics(run, good=entry(0.55, leaky=True))
    split = json.loads((run / "split.json").read_text())
    write_json(run / "split.json", {**split, "leaky": True, "overlaps": {"source media": 3}})
    page = report(run)
    assert "3 × the same source media in two parts of the split" in Reader(page).text
    assert "leaky split" in figure(page, "good")
    assert set(re.findall(r'class="track (\w+)"', figure(page, "good"))) == {"leaky"}
    assert re.search(r"\.track\.leaky \.dot[^{]*\{ fill: var\(--bad\)", page)
    assert "None of 2 experiments beat answering without the video" in Reader(page).text, "a leaky one does not count"
    assert "leaky split" not in figure(page, "weak")
    captions = re.findall(r"<caption>(.*?)</caption>", page, flags=re.S)
    assert sum("eaky split" in caption for caption in captions) == 3  # metrics of good, by phase of good, the split
    titles = re.findall(r"<h4>By \w+(.*?)</h4>", page, flags=re.S)
    assert sum("leaky split" in title for title in titles) == 2  # good, by phase and by case


def test_answers_are_escaped_and_the_page_runs_no_script(run: Path) -> None:
    page = report(run)
    assert html.escape(SCRIPT, quote=False).replace("'", "&#39;") in page
    assert "<script" not in page
    assert SCRIPT in Reader(page).text


def test_the_page_is_one_file_without_the_network(run: Path) -> None:
    reader = Reader(report(run))
    addresses = [value for _, name, value in reader.attributes if name in {"src", "href", "xlink:href", "srcset"}]
    assert addresses
    assert all(value.startswith(("data:", "#")) for value in addresses)
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in addresses if value.startswith("#")} <= set(ids)
    assert "@import" not in (page := (run / "report.html").read_text()) and "url(http" not in page


def test_wrong_samples_come_first_with_the_frames_of_their_clip(run: Path) -> None:
    page = report(run)
    cards = re.findall(r'<article class="card" aria-label="Sample (\w+)">(.*?)</article>', page, flags=re.S)
    assert [name for name, _ in cards] == ["s1", "s2", "s0"]
    for (_, card), channel in zip(cards[:2], (0, 2), strict=True):
        data = re.search(r'src="data:image/jpeg;base64,([^"]+)"', card)
        assert data is not None
        image = Image.open(io.BytesIO(base64.b64decode(data[1])))
        assert image.size == (4 * 28, 28)
        assert int(np.argmax(np.asarray(image).mean(axis=(0, 1)))) == channel
    assert "no frames shown" in cards[2][1]
    assert "nothing" in cards[1][1]


def test_credentialed_data_leave_no_text_and_no_picture(run: Path) -> None:
    page = report(run, sharing="credentialed")
    for text in ("secret-answer", "Which phase?", "image/jpeg", "case_0", "case_1", "s1", "1.2 s", "alert"):
        assert text not in page
    assert "These data are credentialed" in page
    assert "60.0" in page


def test_the_tables_show_the_counts(run: Path) -> None:
    text = Reader(report(run)).text
    assert re.search(r"cases 8 3 clips 31 9 samples 31 9 Incision 20 9 Polishing 11 0", text)
    assert "Polishing does not occur in test" in text
    assert "Left out: 2 in all. Unusable: 12.5 % of media, 0.0 % of samples." in text
    assert "cut phase_too_short 2 1.2 s" in text
    assert "train.learning_rate 0.003 0.005" in text
    assert "blind no blind model was trained" in text


def test_repeats_are_shown_as_mean_spread_and_each_run(run: Path) -> None:
    runs = {"good.seed-1": 0.5, "good.seed-2": 0.7}
    acc = {"mean": 0.6, "sd": 0.1414, "low": 0.5, "high": 0.7, "runs": runs}
    metrics = json.loads((run / "metrics.json").read_text())
    repeats = {"good": {"runs": list(runs), "metrics": {"acc": acc}}}
    write_json(run / "metrics.json", {**metrics, "repeats": repeats})
    text = Reader(report(run)).text
    assert "good: 2 repeats. The spread over repeats is no interval" in text
    assert "Metric Mean SD seed-1 seed-2 acc 60.0 14.1 50.0 70.0" in text


def test_the_highest_baseline_without_video_decides(run: Path) -> None:
    set_metrics(run, good=full_entry(1))
    page = figure(report(run), "good")
    # 80 % (70 to 90): above majority 20 %, blind 42 %, metadata 30 % and shuffled 35 %; the last are drawn beside it.
    assert "above blind 42.0 %" in page and "above majority 50.0 %" in page
    assert page.count('class="mark main"') == 2
    weaker = full_entry(1)
    weaker["baselines"]["shuffled"]["acc"]["value"] = 0.75
    set_metrics(run, good=weaker)
    assert "not above shuffled 75.0 %" in figure(report(run), "good")


def test_every_measure_that_needs_no_video_is_red_in_the_table(run: Path) -> None:
    weaker = full_entry(0)
    weaker["baselines"]["blind"] |= {"bleu_4": {"value": 0.35, "low": 0.3, "high": 0.4}}
    weaker["baselines"]["blind"] |= {"ece": {"value": 0.3, "low": 0.3, "high": 0.3}}
    set_metrics(run, good=weaker)
    page = report(run).split('id="results"')[1]
    red = re.findall(r"<code>([^<]+)</code></th>\s*<td class=\"n\">\d+</td>\s*<td class=\"n bad\">", page)
    # weak is red on phase too; a calibration error is better low, and stands in no race.
    assert red == ["acc@phase", "bleu_4", "acc@phase"]


def test_results_are_taken_apart_the_worst_first(run: Path) -> None:
    set_metrics(run, good=full_entry(1))
    page = report(run)
    text = Reader(page).text
    phases = re.search(r"By phase right answers, the worst first (.*?) What is taken", text)
    assert phases is not None
    assert re.findall(r"([A-Z][\w/ ]+?) n 40", phases[1]) == [
        "Incision", "Irrigation/Aspiration", "Anterior Chamber Flushing", "Tonifying/Antibiotics",
    ]  # fmt: skip
    # Case 0 has its one answer right, cases 1 and 2 have none.
    assert "By case right answers, the worst first case_1 n 1 0.0 % case_2 n 1 0.0 % case_0 n 1 100.0 %" in text
    # An interval from 0 to 1 is none: it stands for a single case.
    assert "anatomy n 40 100.0 % 0" in text
    assert "Tonifying/Antibiotics taken for Irrigation/Aspiration : 12 of 13" in text
    assert "On average 8.0 points between sure and right." in text


def test_the_quality_of_the_questions_and_their_review_are_shown(run: Path) -> None:
    more = ("--qa-quality", run / "qa_quality.json", "--review", run / "review.json")
    text = Reader(report(run, *more)).text
    assert "Of 50 answers that 1 person reviewed, 3 were wrong: 6.0 %. 95 % interval 2.1 to 16.2 % (Wilson)" in text
    assert "anatomy n 40 70.0 % mostly given away" in text and "phase n 40 30.0 % 0" in text
    assert "names missing 9 not json 2" in text and "tokens written a second 470.0" in text
    assert "why names the Lens, which is not in the record" in text and "What is in sight? The Cornea." in text
    page = report(run, *more, sharing="credentialed")
    for words in ("the secret-answer", "which is not in the record", "The Cornea", "clip_1"):
        assert words not in page
    assert "names missing 9" in Reader(page).text


def test_reports_are_neither_right_nor_wrong(run: Path) -> None:
    one = {**entry(0.55), "baselines": {}, "metrics": {"bleu_4": full_entry(1)["metrics"]["bleu_4"]}}
    write_json(run / "metrics.json", {"schema": 1, "run": "r", "experiments": {"good": one}})
    said = ["the lungs are clear", "no", "the heart is large"]
    write_jsonl(run / "predictions.jsonl", [prediction(i, t, answer="the lungs are clear") for i, t in enumerate(said)])
    page = report(run)
    cards = re.findall(r'<article class="card" aria-label="Sample (\w+)">', page)
    assert cards == ["s1", "s2", "s0", "s0", "s2", "s1"], "least alike first, then most alike"
    assert "25.0 % of words" in page and ">wrong</span>" not in page


def test_the_ledgers_jobs_are_told_without_hosts(run: Path) -> None:
    job = {
        "schema": 1, "experiment": "good", "segment": 1, "first_step": 0, "last_step": 150, "until_step": 200,
        "outcome": "killed", "reason": "", "commit": "0123456789abcdef", "changed": True, "code": "c", "config": "d",
        "lock": "l", "versions": {"torch": "2.14.0"}, "inputs": {}, "seeds": {"run": 42}, "host": "node-secret",
        "device": "H100", "gpus": 2, "threads": 8, "seconds_per_step": 1.25, "samples_per_second": None,
        "gpu_bytes": 2**34, "resident_bytes": 2**30, "slurm": {"job": "4711"}, "started": "2026-11-21T04:27:12Z",
        "ended": "2026-11-21T05:30:12Z", "wall_seconds": 3780.0, "gpu_hours": 2.1,
    }  # fmt: skip
    write_jsonl(run / "ledger.jsonl", [job, "torn"])
    page = report(run, "--ledger", run / "ledger.jsonl")
    text = Reader(page).text
    assert "Training jobs: 1 job, 1 h 3 min in all, 2.1 GPU hours" in text
    assert "good 1 0 to 150 of 200 killed 1 h 3 min 1.25 s 16.0 GB 2 × H100 2026-11-21 04:27:12" in text
    assert "Code 0123456789ab changed; torch 2.14.0." in text and "1 line of the ledger could not be read" in text
    assert "node-secret" not in page and "4711" not in page


def test_a_private_page_of_credentialed_data_is_its_owners(run: Path) -> None:
    page = report(run, "--private", run / "private.html", sharing="credentialed")
    private = run / "private.html"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "secret-answer" in private.read_text() and "secret-answer" not in page
    assert "stays on this machine" in private.read_text()
    assert "--private is for credentialed data" in report(run, "--private", private, sharing="open", code=2)


def test_a_page_reads_in_order_and_by_keyboard(run: Path) -> None:
    set_metrics(run, good=full_entry(1))
    page = report(run, "--qa-quality", run / "qa_quality.json", "--review", run / "review.json")
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    assert page.index('class="skip"') < page.index("<h1>")
    # What scrolls can be reached, and has a name.
    assert (
        page.count('class="scroll') == page.count('role="region"') == len(re.findall(r'role="region" aria-label', page))
    )
    for svg in re.findall(r"<svg[^>]*role=\"img\"[^>]*>\s*(.{6})", page):
        assert svg == "<title"
    for head in re.findall(r"<th[ >][^>]*", page):
        assert "scope=" in head


def test_the_rules_are_drawn_without_implied_arrows(run: Path) -> None:
    page = report(run)
    drawing = page.split('<div class="scroll dag"')[1].split("</svg>")[0]
    assert re.findall(r"<text[^>]*>([^<]+)</text>", drawing) == ["all", "report", "train_segment", "split_dataset"]
    # Of 5 arrows between rules split→all and split→report follow from the others; training feeds itself.
    assert drawing.count("marker-end") == 3 + 1
    assert drawing.count('class="loop"') == 1


def test_the_loss_curve_is_drawn(run: Path) -> None:
    page = report(run)
    lines = re.findall(r"<polyline class=\"[a-z]*\" points=\"([^\"]+)\"", page)
    assert len(lines[0].split()) == 20
    # From the top left (loss 4 at the first step) to near the bottom right (0.2 of 4 at the last).
    assert lines[0].split()[0] == "0.00,0.00"
    assert lines[0].split()[-1] == "100.00,95.00"
    assert "validation ends at 0.5" in page


def test_bad_input_is_named(run: Path) -> None:
    (run / "rulegraph.mmd").write_text("flowchart TB\n")
    assert "no rule graph in this file" in report(run, code=2)
    (run / "rulegraph.mmd").write_text(GRAPH)
    (run / "shard-0.npy").unlink()
    said = report(run, code=2)
    assert "shard-0.npy" in said and "cache_frames again" in said


def test_what_the_jobs_used_is_there_with_what_to_change(run: Path) -> None:
    assert 'id="used"' not in report(run)
    counted = {"seconds": 4000.0, "cpu_seconds": 3600.0, "peak_bytes": 2**30, "read_bytes": None, "written_bytes": 0}
    for folder in ("logs/predict", "benchmarks/predict"):
        (run / folder).mkdir(parents=True)
    (run / "logs/predict/good.log").write_text("used: " + json.dumps({**counted, "cards": []}))
    (run / "benchmarks/predict/good.tsv").write_text("s\tthreads\tresources\n4000.0\t8\t{'mem_mb': 4000}\n")
    text = Reader(report(run, "--used", run / "logs", run / "benchmarks")).text
    assert "predict 1 1 h 6 min 0.9 of 8 1.0 of 3.9 GiB – / 0 MB – –" in text
    assert "needs fewer cores, at most 0.9. In the profile: set-threads: {predict: 2}" in text
