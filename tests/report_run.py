"""The files of a run that a report is made of, small and written by hand: of a few experiments, or of many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
PHASES = ["Incision", "Irrigation/Aspiration", "Anterior Chamber Flushing", "Tonifying/Antibiotics"]


def estimate(value: float, low: float, high: float, n: int = 40) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "definition": "share of equal answers"}


def entry(phase_low: float, *, leaky: bool = False) -> dict[str, Any]:
    """An experiment that beats its one baseline on all questions, and on phase if ``phase_low`` is above 0.5."""
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


def full_entry(i: int) -> dict[str, Any]:
    """An experiment with everything that a page can show; some beat their baselines, some do not, one leaks."""
    made = entry(0.55 if i % 3 else 0.45, leaky=i == 5)
    made["metrics"] |= {
        "set_f1@surgical_instruments": estimate(0.7, 0.6, 0.8),
        "ece": estimate(0.08, 0.05, 0.12),
        "bleu_4": estimate(0.4, 0.3, 0.5),
    }
    for name, value in {"blind": 0.42, "metadata": 0.3, "shuffled": 0.35, "zero_shot": 0.1, "ceiling": 0.95}.items():
        made["baselines"][name] = {
            key: {"value": value, "low": value - 0.05, "high": value + 0.05} for key in ("acc", "acc@phase")
        }
    made["by"]["phase"] = {phase: {"acc": estimate(0.4 + k / 10, 0.3, 0.9)} for k, phase in enumerate(PHASES)}
    made["by"]["kind"] = {"phase": {"acc": estimate(0.6, 0.5, 0.7)}, "anatomy": {"acc": estimate(1.0, 0.0, 1.0)}}
    made["tables"] = {
        "confusion": {
            "gold": PHASES,
            "predicted": [*PHASES, "(none of them)"],
            "counts": [[9, 3, 0, 1, 0], [2, 8, 0, 0, 1], [0, 0, 7, 0, 0], [0, 12, 0, 1, 0]],
        },
        "calibration": [
            {"low": k / 10, "high": (k + 1) / 10, "n": 4 * k, "confidence": k / 10 + 0.05, "accuracy": k / 12}
            for k in range(2, 10)
        ],
        "questions": [
            {"kind": kind, "key": key, "question": "?"}
            for kind, key in {"phase": "acc@phase", "surgical_instruments": "set_f1@surgical_instruments"}.items()
        ],
    }
    return made


def prediction(i: int, said: str, **changes: object) -> dict[str, Any]:
    row = {"id": f"s{i}", "case": f"case_{i % 3}", "clip": f"clip_{i}", "turn": 0, "kind": "phase", "phase": "Incision"}
    row |= {"question": "Which phase?", "answer": "secret-answer", "prediction": said, "scores": {}}
    return {**row, **changes}


def cached(clip: str, row: int, n: int) -> dict[str, Any]:
    return CachedClip(
        clip=clip, case="case_0", array="shard-0.npy", row=row, n_frames=n, height=28, width=28,
        indices=tuple(range(n)), frame_seconds=0.5, clip_sha256="", pixels_sha256="", decoder="pyav",
        decoder_version="18",
    ).to_json()  # fmt: skip


def quality() -> dict[str, Any]:
    """qa_quality.json of a run whose questions a language model worded."""
    kind = {"pairs": 40, "distinct_questions": 4, "near_duplicate_questions": 0.2, "distinct_answers": 7}
    kind |= {"majority_accuracy": 0.3, "most_frequent_answers": [{"answer": "the secret-answer", "share": 0.3}]}
    counted = {"clips": 40, "accepted": 33, "accepted_at_once": 30, "by_template": 5, "rejected": 2, "replies": 55}
    after = [{"question": "What is in sight?", "answer": "The Cornea.", "kind": "anatomy"}]
    why = "names the Lens, which is not in the record"
    example = {"clip": "clip_1", "why": why, "before": '{"answer": "A Lens."}', "after": after, "after_by": "template"}
    variety = {name: {**kind, "question_only_accuracy": share} for name, share in (("phase", 0.3), ("anatomy", 0.7))}
    return {
        "schema": 1, "backend": ["vllm"], "model": ["Mistral-Small-24B"], "revision": ["abc"], **counted,
        "refused_replies": 17, "prompt_tokens": 81000, "completion_tokens": 9400, "cost": 0.25,
        "reasons": {"names_missing": 9, "not_json": 2}, "examples": {"names_missing": [example]},
        "this_run": {"replies": 55, "seconds": 20.0, "completion_tokens": 9400,
                     "completion_tokens_per_second": 470.0, "replies_per_second": 2.75},
        "samples": 38, "variety": variety,
    }  # fmt: skip


def review() -> dict[str, Any]:
    """review.json: 3 of 50 answers were wrong."""
    share = {"n": 50, "wrong": 3, "value": 0.06, "low": 0.021, "high": 0.162}
    counts = {"accepted": 47, "fixed": 2, "rejected": 1, "outdated": 1, "reviewers": 1}
    return {"schema": 1, **counts, **share, "by": {"kind": {"phase": share}}}


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def write_jsonl(path: Path, rows: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(folder: Path, experiments: dict[str, Any]) -> None:
    """Writes everything that report.py reads; each experiment has the same predictions and curve."""
    write_json(
        folder / "split.json",
        {
            "unit": "case",
            "leaky": False,
            "warnings": ["Polishing does not occur in test"],
            "overlaps": {},
            "counts": {
                "train": {"cases": 8, "clips": 31, "samples": 31, "phases": {"Incision": 20, "Polishing": 11}},
                "test": {"cases": 3, "clips": 9, "samples": 9, "phases": {"Incision": 9}},
            },
        },
    )
    rejection = {"stage": "cut", "reason": "phase_too_short", "case": "case_0", "where": "a.csv:3", "detail": "1.2 s"}
    write_json(
        folder / "rejected.json",
        {
            "counts": {"cut": {"phase_too_short": 2}},
            "share": {"media": 0.125, "samples": 0.0},
            "rows": [rejection, rejection],
        },
    )
    write_json(folder / "metrics.json", {"schema": 1, "run": "r", "experiments": experiments})
    write_json(folder / "qa_quality.json", quality())
    write_json(folder / "review.json", review())
    (folder / "rulegraph.mmd").write_text(GRAPH)
    (folder / "config.yaml").write_text(
        "run: r\ncases: [case_0, case_1]\nexperiments:\n"
        + "".join(f"  {name}: {{train: {{learning_rate: 0.00{2 * i + 3}}}}}\n" for i, name in enumerate(experiments))
    )
    # The second sample answers with mark-up, the third with nothing.
    write_jsonl(
        folder / "predictions.jsonl", [prediction(0, "secret-answer"), prediction(1, SCRIPT), prediction(2, "")]
    )
    log = [{"step": step, "loss": 4.0 / step, "learning_rate": 0.1} for step in range(1, 21)]
    write_jsonl(folder / "log.jsonl", [*log, {"step": 20, "eval_loss": 0.5}])
    # Clip 1 is red and clip 2 is blue: the page must show the frames that belong to the clip.
    frames = np.zeros((16, 28, 28, 3), np.uint8)
    frames[:8, ..., 0] = 200
    frames[8:, ..., 2] = 200
    np.save(folder / "shard-0.npy", frames)
    write_jsonl(
        folder / "shard-0.jsonl",
        [cached("clip_1", 0, 8), cached("clip_2", 8, 8), {**cached("clip_0", 16, 0), "rejected": "truncated"}],
    )


def arguments(folder: Path, names: Sequence[str], *, sharing: str = "open") -> list[object]:
    """The flags of report.py for such a folder."""
    said, logged = folder / "predictions.jsonl", folder / "log.jsonl"
    return [
        "--run", "r", "--metrics", folder / "metrics.json", "--split", folder / "split.json",
        "--rejected", folder / "rejected.json", "--predictions", *(f"{n}={said}" for n in names),
        "--logs", *(f"{n}={logged}" for n in names), "--frames-cache", folder / "shard-0.jsonl",
        "--rulegraph", folder / "rulegraph.mmd", "--config", folder / "config.yaml", "--sharing", sharing,
        "--output", folder / "report.html",
    ]  # fmt: skip
