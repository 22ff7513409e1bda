"""Where the trainings of all runs are: read from their files, without torch and without Snakemake."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from suture import beat, files, model_folder
from suture.beat import Beat
from suture.errors import InputError

State = Literal["done", "running", "starting", "silent", "gone", "stopped", "failed", "waiting", "not started"]

_OF_BEAT: Mapping[str, State] = {
    "starting": "starting",
    "running": "running",
    "stopped": "stopped",
    "failed": "failed",
    # All steps are done and the checkpoint is not there: it is being written, or that went wrong.
    "done": "stopped",
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """One experiment of one run.

    Attributes:
        segments: segments whose checkpoints are there.
        of_segments: segments of the whole run; None where the configuration is not there to tell.
        segment: the one that runs, ran last, or comes next.
        step: optimiser step it came to.
        loss: last logged training loss.
        seconds_left: of the run, as the last steps went; None unless it lives.
        silent_for: seconds since the last sign of life, where there should be one.
        note: why it ended early, or failed.
        host: of the segment, with its queue's job id, where a heartbeat says so.
        log: file of the segment, where it is there.
    """

    run: str
    experiment: str
    state: State
    segments: int
    of_segments: int | None
    segment: int
    step: int
    max_steps: int | None
    loss: float | None
    seconds_per_step: float | None
    seconds_left: float | None
    silent_for: float | None
    note: str
    host: str
    log: str | None


def trainings(results: Path, now: float) -> tuple[list[Training], list[InputError]]:
    """Finds all experiments of all runs, sorted by run and name.

    Args:
        results: the folder of runs.
        now: on ``time.time``'s clock.

    Returns:
        The experiments, and what could not be read: one broken file does not hide the other trainings.
    """
    found, unread = [], []
    for run in sorted(path for path in results.iterdir() if path.is_dir()):
        planned: dict[str, tuple[int, int]] = {}
        try:
            planned = _planned(run / "config.resolved.yaml")
        except InputError as error:
            unread.append(error)
        seen = {path.name for kind in ("train", "work") for path in (run / kind).glob("*") if path.is_dir()}
        for name in sorted(planned.keys() | seen):
            try:
                found.append(_training(run, name, planned.get(name), now))
            except InputError as error:
                unread.append(error)
    return found, unread


def _planned(config: Path) -> dict[str, tuple[int, int]]:
    """Returns max_steps and steps_per_job of each experiment of a resolved configuration; nothing without one."""
    if not config.is_file():
        return {}
    try:
        read = yaml.safe_load(files.read_text(config)) or {}
        return {
            name: (int(one["train"]["max_steps"]), int(one["train"]["steps_per_job"]))
            for name, one in (read.get("experiments") or {}).items()
        }
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"not a resolved configuration: {error}", where=config, fix="delete it; `snakemake` writes it again"
        ) from error


def _numbered(folder: Path) -> dict[int, Path]:
    """Returns the segments' folders under one of an experiment's, by number."""
    matches = ((re.fullmatch(r"segment-(\d+)", path.name), path) for path in folder.glob("segment-*"))
    return {int(match[1]): path for match, path in matches if match and path.is_dir()}


def _training(run: Path, name: str, plan: tuple[int, int] | None, now: float) -> Training:
    published, at_work = _numbered(run / "train" / name), _numbered(run / "work" / name)
    max_steps = plan[0] if plan else None
    of_segments = -(-plan[0] // plan[1]) if plan else None
    done = max(published, default=0)
    base: dict[str, Any] = {
        "run": run.name,
        "experiment": name,
        "segments": done,
        "of_segments": of_segments,
        "segment": done + 1,
        "step": 0,
        "max_steps": max_steps,
        "loss": None,
        "seconds_per_step": None,
        "seconds_left": None,
        "silent_for": None,
        "note": "",
        "host": "",
        "log": None,
    }
    if done:
        card = model_folder.read_card(published[done])
        base |= {
            "step": int(card.get("step", 0)),
            "max_steps": max_steps or card.get("identity", {}).get("max_steps"),
            "loss": _last_loss(published[done]),
            "note": card.get("stopped") or "",
        }
    latest = max((number for number in at_work if number > done), default=None)
    sign = beat.read(at_work[latest] / beat.NAME) if latest is not None else None
    if latest is not None and sign is not None:
        base |= _living(sign, now) | {"segment": latest}
    elif done and _is_last(base):
        base |= {"state": "done", "segment": done}
    else:
        base["state"] = "waiting" if done else "not started"
    log = run / "logs" / "train_segment" / name / f"{base['segment']}.log"
    if log.is_file():
        base["log"] = log.as_posix()
    return Training(**base)


def _is_last(found: Mapping[str, Any]) -> bool:
    """Tells whether nothing comes after the last published segment, as far as its files say."""
    if found["max_steps"] is not None and found["step"] >= found["max_steps"]:
        return True
    if found["of_segments"] is not None:
        return bool(found["segments"] == found["of_segments"])
    return bool(found["note"]) or found["max_steps"] is None


def _living(sign: Beat, now: float) -> dict[str, Any]:
    """Returns what a heartbeat says of a segment that is not done."""
    life = sign.life(now)
    job = sign.slurm.get("job")
    return {
        "state": life if life in ("silent", "gone") else _OF_BEAT[sign.state],
        "step": sign.step,
        "max_steps": sign.max_steps,
        "loss": sign.loss,
        "seconds_per_step": sign.seconds_per_step,
        "seconds_left": sign.run_seconds_left if life == "alive" else None,
        "silent_for": sign.age(now) if life != "ended" else None,
        "note": sign.reason,
        "host": f"{sign.host}, job {job}" if job else sign.host,
    }


def _last_loss(segment: Path) -> float | None:
    log = segment / "log.jsonl"
    losses = [row["loss"] for row in files.read_jsonl(log) if "loss" in row] if log.is_file() else []
    return float(losses[-1]) if losses else None


def table(found: Sequence[Training]) -> str:
    """Words the trainings for a terminal of 80 columns: a line each, and where it matters one more with the reason."""
    lines = []
    for run, group in itertools.groupby(found, key=lambda one: one.run):
        lines += [run, f"  {'experiment':<24} {'segment':>7} {'step':>13} {'loss':>7} {'left':>8}  state"]
        for one in group:
            segments = f"{one.segments}/{one.of_segments or '?'}"
            step = f"{one.step}/{one.max_steps or '?'}"
            loss = "" if one.loss is None else f"{one.loss:.3g}"
            left = "" if one.seconds_left is None else duration(one.seconds_left)
            lines.append(f"  {_cut(one.experiment):<24} {segments:>7} {step:>13} {loss:>7} {left:>8}  {one.state}")
            lines += [f"      {line}" for line in _more(one)]
        lines.append("")
    return "\n".join(lines[:-1])


def _more(one: Training) -> list[str]:
    """Returns what a user wants to know next of a training that is not simply done or still to come."""
    words = []
    if one.state in ("running", "starting"):
        pace = "" if one.seconds_per_step is None else f"{one.seconds_per_step:.3g} s a step; "
        words.append(f"{pace}last sign of life {duration(one.silent_for or 0)} ago on {one.host}")
    if one.state in ("silent", "gone"):
        words.append(f"no sign of life for {duration(one.silent_for or 0)}, was on {one.host}")
    if one.state == "gone":
        words.append("its process ended without a word: killed, or out of memory")
    if one.state in ("stopped", "gone"):
        words.append("`snakemake` goes on from its last save")
    if one.note:
        words += textwrap.wrap(one.note, 74)[:2]
    if one.log and one.state not in ("done", "waiting", "not started"):
        words.append(f"log: {one.log}")
    return words


def _cut(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def duration(seconds: float) -> str:
    """Words a duration in the unit that fits it: 58 s, 12 min, 7.5 h, 3.1 d."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"
