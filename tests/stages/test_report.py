"""report.py as a process: what a reader finds in the page, and what must not be in it."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from support import run_script
from suture.frames import CachedClip

SCRIPT = "<script>alert('x')</script>"
GRAPH = """---
title: DAG
---
flowchart TB
\tid0[all]
\tid1[report]
\tid2[train_segment]
\tid3[split_dataset]
\tstyle id0 fill:#D9D957,stroke-width:2px,color:#333333
\tid1 --> id0
\tid2 --> id2
\tid3 --> id0
\tid2 --> id1
\tid3 --> id1
\tid3 --> id2
"""


def estimate(value: float, low: float, high: float, n: int = 40) -> dict:
    return {"value": value, "low": low, "high": high, "n": n, "definition": "share of equal answers"}


def entry(phase_low: float, *, leaky: bool = False) -> dict:
    metrics = {"acc": estimate(0.8, 0.7, 0.9), "acc@phase": estimate(0.6, phase_low, 0.8)}
    majority = {"acc": {"value": 0.2, "low": 0.1, "high": 0.3}, "acc@phase": {"value": 0.5, "low": 0.4, "high": 0.6}}
    return {
        "split": "test",
        "unit": "case",
        "leaky": leaky,
        "n_samples": 40,
        "n_cases": 12,
        "metrics": metrics,
        "baselines": {"majority": majority},
        "by": {"phase": {"Incision": {"acc": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 40}}}},
        "not_computed": {"blind": "no blind model was trained"},
    }


def prediction(i: int, said: str, **changes: object) -> dict:
    row = {"id": f"s{i}", "case": f"case_{i % 3}", "clip": f"clip_{i}", "turn": 0, "kind": "phase", "phase": "Incision"}
    row |= {"question": "Which phase?", "answer": "secret-answer", "prediction": said, "scores": {}}
    return {**row, **changes}


def cached(clip: str, row: int, n: int) -> dict:
    return CachedClip(
        clip=clip, case="case_0", array="shard-0.npy", row=row, n_frames=n, height=28, width=28,
        indices=tuple(range(n)), frame_seconds=0.5, clip_sha256="", pixels_sha256="", decoder="pyav",
        decoder_version="18",
    ).to_json()  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The files of a small run with two experiments: `good` beats its baselines, `weak` does not on phase."""
    (tmp_path / "split.json").write_text(
        json.dumps(
            {
                "unit": "case",
                "leaky": False,
                "warnings": ["Polishing does not occur in test"],
                "counts": {
                    "train": {"cases": 8, "clips": 31, "samples": 31, "phases": {"Incision": 20, "Polishing": 11}},
                    "test": {"cases": 3, "clips": 9, "samples": 9, "phases": {"Incision": 9}},
                },
            }
        )
    )
    rejection = {"stage": "cut", "reason": "phase_too_short", "case": "case_0", "where": "a.csv:3", "detail": "1.2 s"}
    (tmp_path / "rejected.json").write_text(
        json.dumps(
            {
                "counts": {"cut": {"phase_too_short": 2}},
                "share": {"media": 0.125, "samples": 0.0},
                "rows": [rejection, rejection],
            }
        )
    )
    experiments = {"good": entry(0.55), "weak": entry(0.45)}
    (tmp_path / "metrics.json").write_text(json.dumps({"schema": 1, "run": "r", "experiments": experiments}))
    (tmp_path / "rulegraph.mmd").write_text(GRAPH)
    (tmp_path / "config.yaml").write_text(
        "run: r\ncases: [case_0, case_1]\nexperiments:\n  good: {train: {learning_rate: 0.003}}\n"
        "  weak: {train: {learning_rate: 0.001}}\n"
    )
    rows = [prediction(0, "secret-answer"), prediction(1, SCRIPT), prediction(2, "")]
    (tmp_path / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = [{"step": step, "loss": 4.0 / step, "learning_rate": 0.1} for step in range(1, 21)]
    log += [{"step": 20, "eval_loss": 0.5}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    # Clip 1 is red and clip 2 is blue: the page must show the frames that belong to the clip.
    frames = np.zeros((16, 28, 28, 3), np.uint8)
    frames[:8, ..., 0] = 200
    frames[8:, ..., 2] = 200
    np.save(tmp_path / "shard-0.npy", frames)
    places = [cached("clip_1", 0, 8), cached("clip_2", 8, 8), {**cached("clip_0", 16, 0), "rejected": "truncated"}]
    (tmp_path / "shard-0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in places))
    return tmp_path


def report(run: Path, *more: object, sharing: str = "open", code: int = 0) -> str:
    said = run_script(
        "report", "--run", "r", "--metrics", run / "metrics.json", "--split", run / "split.json",
        "--rejected", run / "rejected.json", "--predictions", f"good={run / 'good.jsonl'}",
        "--logs", f"good={run / 'log.jsonl'}", "--frames-cache", run / "shard-0.jsonl",
        "--rulegraph", run / "rulegraph.mmd", "--config", run / "config.yaml", "--sharing", sharing,
        "--output", run / "report.html", *more, code=code,
    )  # fmt: skip
    return (run / "report.html").read_text(encoding="utf-8") if code == 0 else said


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
    assert "weak does not beat answering without the video on phase" in text
    weak, good = figure(page, "weak"), figure(page, "good")
    assert re.findall(r'class="track (\w+)"', weak) == ["beats", "fails"]
    assert "not above majority 50.0 %" in weak
    assert re.findall(r'class="track (\w+)"', good) == ["beats", "beats"]
    assert "not above" not in good
    assert 'class="panel headline fails"' in page
    assert re.search(r"\.track\.fails \.dot \{ fill: var\(--bad\)", page)


def test_a_lower_end_on_the_baseline_does_not_beat_it(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["experiments"]["good"] = entry(0.5)
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert "None of 2 experiments beat answering without the video" in report(run)


def test_without_a_baseline_nothing_is_claimed(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    for one in metrics["experiments"].values():
        one["baselines"] = {}
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = Reader(report(run)).text
    assert "None of 2 experiments has a baseline to stand beside" in text
    assert "no baseline" in text
    assert "above majority" not in text


def test_a_leaky_split_is_marked_wherever_its_numbers_stand(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["experiments"]["good"] = entry(0.55, leaky=True)
    (run / "metrics.json").write_text(json.dumps(metrics))
    split = json.loads((run / "split.json").read_text())
    (run / "split.json").write_text(json.dumps({**split, "leaky": True}))
    page = report(run)
    assert "leaky split" in figure(page, "good")
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
    import base64
    import io

    from PIL import Image

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
    assert "train.learning_rate 0.003 0.001" in text
    assert "blind no blind model was trained" in text


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
