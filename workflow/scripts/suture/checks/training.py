"""Training itself, on a few questions: what is trained, the loss at the start, that it learns, time and memory.

This one is heavy: ``sanity_check`` runs it, ``doctor`` only where it is asked for.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from suture import registry
from suture.checks.base import Finding, Setting, fail, ok, warn
from suture.config.experiment import Experiment
from suture.errors import SutureError
from suture.predicted import read_labels
from suture.prompt_modes import text
from suture.records import Sample

QUESTIONS, OVERFIT_STEPS, SECONDS = 32, 60, 45
LOWEST, HIGHEST = 0.5, 2.0
"""Of the loss that choosing blindly has, ln(number of choices)."""


def check(setting: Setting) -> Iterator[Finding]:
    """Tries each experiment on closed questions whose base model is here."""
    config = setting.config
    if config is None or config.draw is not None or not config.videos:
        return
    for name, one in config.experiments.items():
        if not one.predict.choices or one.init_from is not None:
            continue
        base = next((p for p in (setting.run / "models/base" / one.base_key, Path(one.model)) if _is_model(p)), None)
        if base is None:
            yield warn(f"{name}: its base model is not here yet, so no step was tried", f"fetch_weights.py {one.model}")
            continue
        yield from _try(name, one, base, config.dataset, Path(config.annotations or ""), Path(config.videos))


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def _try(name: str, one: Experiment, base: Path, dataset: str, root: Path, images: Path) -> Iterator[Finding]:
    from suture import libraries

    libraries.prepare(threads=1)
    from suture.training import question_folders

    try:
        asked = question_folders.questions(registry.dataset(dataset), root, images, "train", at_most=QUESTIONS)
        asked.check(0.5)
    except SutureError as error:
        yield fail(f"{name}: no questions to try: {error.problem}", error.fix or "look at the question files")
        return
    yield ok(f"{name}: {asked.words}, to be tried")
    try:
        yield from _steps(name, one, base, asked.samples[:QUESTIONS], asked)
    except SutureError as error:
        yield fail(f"{name}: {error.problem}", error.fix or "try the command itself")


def _steps(name: str, one: Experiment, base: Path, samples: Sequence[Sample], asked: Any) -> Iterator[Finding]:
    import torch

    from suture.asked_questions import shown
    from suture.features import arithmetic_of
    from suture.training import adapters
    from suture.training.loop import prepare

    choices = read_labels(Path(one.predict.choices or ""))
    known = registry.literals("model family", one.family)
    told = text(one.family, known, one.prompt_mode, choices) if one.prompt_mode else None
    model = registry.family(one.family).load(base, told, **adapters.base_options(one.train))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module: Any = model.model.to(device)
    model.check_size(one.frames.height, one.frames.width)
    video = shown(model, asked, (one.frames.height, one.frames.width))
    longest = max(model.count_tokens(sample.turns, (1, one.frames.height, one.frames.width)) for sample in samples)
    if longest > model.max_length:
        yield fail(f"{name}: {longest} tokens, and the model reads {model.max_length}", "prompt_mode: simple")
        return
    yield ok(f"{name}: at most {longest} tokens, of {model.max_length} that the model reads")

    yield from _first_loss(name, model, samples[:8], choices, video)
    counts = prepare(model, one.train)
    share = counts["trainable"] / counts["total"]
    yield ok(f"{name}: {counts['trainable']:,} of {counts['total']:,} parameters are trained ({share:.4%})")

    module = model.model.to(device)
    module.train()
    rows = list(islice(cycle(samples), one.train.batch_size))
    batch = {
        key: value.to(device)
        for key, value in model.collate([model.encode(row.turns, video(row.clip)) for row in rows]).items()
    }
    rate = max(one.train.learning_rate, 5e-3 if one.train.adapter else 1e-3)
    optimiser = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=rate)
    losses: list[float] = []
    began = time.monotonic()
    while len(losses) < OVERFIT_STEPS and time.monotonic() - began < SECONDS:
        with arithmetic_of(one.train.precision if device.type == "cuda" else "fp32", device):
            loss = model.loss(module, batch, None)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    took = (time.monotonic() - began) / len(losses)
    said = f"{name}: one batch of {len(rows)}, {len(losses)} steps: loss {losses[0]:.2f} to {losses[-1]:.2f}"
    if not math.isfinite(losses[-1]) or losses[-1] > 0.7 * losses[0]:
        yield fail(f"{said}; it is not learnt by heart", "look at learning rate, freezing and labels")
    else:
        yield ok(f"{said}; learnt by heart")
    options = one.train
    hours = took * options.gradient_accumulation_steps * options.max_steps / 3600
    yield ok(
        f"{name}: {len(rows) / took:.1f} samples a second on this {device.type}; {options.max_steps} steps take "
        f"{hours:.1f} h, the encoder's time not counted"
    )
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _resident()
    yield ok(f"{name}: {peak / 2**30:.1f} GiB of memory at most")


def _first_loss(
    name: str, model: Any, samples: Sequence[Sample], choices: Sequence[str], video: Any
) -> Iterator[Finding]:
    """Compares the loss of choosing, before any step, with that of choosing blindly."""
    import torch

    from suture.choice_tree import plant

    tokens = [model.answer_tokens(samples[0].turns, choice) for choice in choices]
    prompts = [model.encode(sample.turns, video(sample.clip), for_reply=True) for sample in samples]
    scores = model.score(model.collate(prompts, pad_left=True), plant(tokens))
    # The mean of a choice's tokens: the sum of many is lower for no other reason than their number.
    means = scores / torch.tensor([len(one) for one in tokens])
    gold = [list(choices).index(sample.turns[0].answer) for sample in samples]
    chosen = float(torch.nn.functional.cross_entropy(means, torch.tensor(gold)))
    told = float(-torch.stack([means[row, place] for row, place in enumerate(gold)]).mean())
    blind = math.log(len(choices))
    of_blind = f"ln({len(choices)}) = {blind:.2f}"
    said = (
        f"{name}: the loss of choosing is {chosen:.2f} at the start, blindly {of_blind}; that of a token is {told:.2f}"
    )
    if LOWEST * blind <= chosen <= HIGHEST * blind:
        yield ok(said)
    else:
        yield fail(
            f"{said}: outside of {LOWEST:g} to {HIGHEST:g} times that", "is it the base model, with its tokenizer?"
        )


def _resident() -> int:
    # Linux counts kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
