"""Checkpoints: which can be trusted, which may be continued, and how one becomes a segment's output.

A checkpoint belongs to a run with certain options and data (its identity).
Continuing one that belongs to another would give a model of neither.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import disk_full, files, model_folder
from suture.errors import InputError, SutureError

MARK = "complete.json"
BEST = "best"
LOG = "log.jsonl"
STATE = "trainer_state.json"
# What the library adds for itself: it holds paths of this machine and is not read when training goes on.
LEFT_OUT = shutil.ignore_patterns(MARK, "training_args.bin")

# What a model is made of, without what training needs to go on.
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json")

Identity = dict[str, Any]


def mark_complete(checkpoint: Path, identity: Identity) -> None:
    """Marks a checkpoint whose files are all written."""
    files.write_json(checkpoint / MARK, identity)


def latest(work_dir: Path, identity: Identity, *, last_step: int) -> tuple[int, Path] | None:
    """Finds the furthest whole checkpoint of this very run in its work folder.

    What is of another run, half-written or beyond ``last_step`` is deleted:
    the library would otherwise count it among this run's.
    """
    found: dict[int, Path] = {}
    for folder in sorted(work_dir.glob("checkpoint-*")):
        step = int(folder.name.removeprefix("checkpoint-"))
        mark = folder / MARK
        if mark.is_file() and files.read_json(mark) == identity and step <= last_step:
            found[step] = folder
        else:
            print(f"progress in {folder} is of another run or incomplete: not used", flush=True)
            shutil.rmtree(folder)
    return max(found.items()) if found else None


@contextmanager
def written_whole(work_dir: Path) -> Iterator[None]:
    """Names a full disk, and removes the checkpoint that met it: it is of no use, and its room is needed.

    Raises:
        DiskFull: there is no room for a checkpoint.
    """
    try:
        with disk_full.named(work_dir):
            yield
    except disk_full.DiskFull:
        for folder in work_dir.glob("checkpoint-*"):
            if not (folder / MARK).is_file():
                shutil.rmtree(folder, ignore_errors=True)
        raise


def history(checkpoint: Path) -> list[dict[str, Any]]:
    """Returns what was logged up to a checkpoint: an entry for each step, and for each evaluation."""
    found: list[dict[str, Any]] = files.read_json(checkpoint / STATE)["log_history"]
    return found


def keep(checkpoint: Path, identity: Identity) -> None:
    """Keeps the weights of the best checkpoint so far, which is deleted as others come; the one before is dropped."""
    folder = checkpoint.with_name(checkpoint.name.replace("checkpoint-", f"{BEST}-"))
    with files.atomic_dir(folder) as temporary:
        for pattern in _WEIGHTS:
            for path in checkpoint.glob(pattern):
                _link_or_copy(str(path), str(temporary / path.name))
        mark_complete(temporary, identity)
    for other in checkpoint.parent.glob(f"{BEST}-*"):
        if other != folder:
            shutil.rmtree(other)


def kept(step: int, work_dir: Path, resume: Path | None, identity: Identity) -> Path:
    """Finds the weights of the best step: kept by this job, or handed on by the segment before.

    Raises:
        SutureError: they are in neither place.
    """
    here = work_dir / f"{BEST}-{step}"
    if (here / MARK).is_file() and files.read_json(here / MARK) == identity:
        return here
    if resume is not None and model_folder.read_card(resume).get("best_step") == step:
        return resume / BEST
    raise SutureError(
        f"the weights of step {step}, the best, were not kept", where=work_dir, fix="train this segment anew"
    )


def publish(
    checkpoint: Path, output: Path, *, card: dict[str, Any], logging_steps: int, best: Path | None = None
) -> None:
    """Makes a checkpoint the output of its segment: whole, by one rename.

    The output holds weights, optimiser, scheduler and random states, the log
    of the run from its first step, ``suture.json`` with ``card``, and in
    ``best`` the weights of the best step, where they are kept.
    """
    lines = log_lines(history(checkpoint), logging_steps)
    with files.atomic_dir(output) as temporary:
        shutil.copytree(checkpoint, temporary, ignore=LEFT_OUT, copy_function=_link_or_copy, dirs_exist_ok=True)
        if best is not None:
            shutil.copytree(best, temporary / BEST, ignore=LEFT_OUT, copy_function=_link_or_copy)
        files.write_jsonl(temporary / LOG, lines)
        model_folder.write_card(temporary, **card)


def hand_on(checkpoint: Path, output: Path) -> None:
    """Makes the checkpoint of a run that ended early the output of a later segment too."""
    with files.atomic_dir(output) as temporary:
        shutil.copytree(checkpoint, temporary, copy_function=_link_or_copy, dirs_exist_ok=True)


def clear(work_dir: Path) -> None:
    """Removes the progress of a job whose output is published."""
    for pattern in ("checkpoint-*", f"{BEST}-*"):
        for folder in work_dir.glob(pattern):
            shutil.rmtree(folder)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def log_lines(history: list[dict[str, Any]], every: int) -> list[dict[str, Any]]:
    """Thins the per-step history: one line for each ``every`` steps, its loss the mean over them.

    Lines with an ``eval_loss`` are all kept. A window that is not full yet
    gives no line: a run in segments has the lines of one that never stopped.
    """
    lines: list[dict[str, Any]] = []
    window: list[float] = []
    for entry in history:
        if "loss" in entry:
            window.append(entry["loss"])
            if entry["step"] % every == 0:
                line: dict[str, Any] = {
                    name: entry[name] for name in ("step", "grad_norm", "learning_rate") if name in entry
                }
                line["loss"] = sum(window) / len(window)
                lines.append(line)
                window = []
        elif "eval_loss" in entry:
            lines.append({name: entry[name] for name in entry if name == "step" or name.startswith("eval_")})
    return lines


@dataclass(frozen=True)
class Before:
    """The segment before: the step it is at, and why the run ended there if it did."""

    step: int
    stopped: str | None


def check_chain(checkpoint: Path, identity: Identity, *, until_step: int) -> Before:
    """Checks that a segment's output can be continued with these options and data.

    Raises:
        InputError: it is no checkpoint, or it was made with something else, named.
    """
    card = model_folder.read_card(checkpoint)
    if "step" not in card or not (checkpoint / STATE).is_file():
        raise InputError("not a segment checkpoint", where=checkpoint, fix="give the --output of the segment before")
    before = card["identity"]
    for key in sorted({*before, *identity}):
        if before.get(key) != identity.get(key):
            raise InputError(
                f"{key} was {_short(before.get(key))} in the segment before, now it is {_short(identity.get(key))}",
                where=checkpoint,
                fix="continue with what the run began with, or train from the first segment again",
            )
    step = int(card["step"])
    if step >= until_step:
        raise InputError(
            f"the checkpoint is at step {step} already, --until-step is {until_step}",
            where=checkpoint,
            fix=f"give a step above {step}",
        )
    return Before(step, card.get("stopped"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
