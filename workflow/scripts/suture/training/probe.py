"""The longest batch, tried before the first step: what it takes, and if it does not fit, what would.

No pixel is read: frames are black, which take as much memory as others. What
is tried leaves no trace in the run. Nothing is ever cut off to make it fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch

from suture.config.training import Train
from suture.errors import InputError
from suture.features import PRECISIONS
from suture.frames import CachedClip
from suture.models.base import Example, Features, Video, VideoModel
from suture.records import Sample
from suture.training import advice
from suture.training.advice import Step
from suture.training.data import MediaCache, Unseen
from suture.training.memory import Meter, forget, in_gib, is_out_of_memory, meter, release, unchanged

Loss = Callable[[dict[str, torch.Tensor]], torch.Tensor]


class Probe:
    """Tries steps of a run on its longest samples.

    Args:
        model: as prepared for training.
        options: of the run.
        samples: all training samples.
        lengths: their numbers of tokens.
        cache: where their videos are; only its manifests are looked at.
        loss: of a collated batch, computed as the run computes it.

    Attributes:
        taken: bytes that the longest batch takes, once :meth:`run` has found that it fits.
        capacity: bytes that there are.
    """

    def __init__(
        self,
        model: VideoModel,
        options: Train,
        *,
        samples: Sequence[Sample],
        lengths: Sequence[int],
        cache: MediaCache,
        loss: Loss,
    ) -> None:
        self.model = model
        self.options = options
        self.tokens = max(lengths)
        self._cache = cache
        self._loss = loss
        self._module: Any = model.model
        longest = sorted(range(len(samples)), key=lambda index: (-lengths[index], index))[: options.batch_size]
        # Epochs run on into each other: a batch larger than the data holds a sample twice.
        self._longest = [samples[index] for index in itertools.islice(itertools.cycle(longest), options.batch_size)]
        self.taken: int | None = None
        self._optimizer_bytes = 0
        self._meter: Meter = meter(next(self._module.parameters()).device)
        self.capacity = self._meter.capacity()
        self.safe = self._meter.safe

    def run(self) -> str:
        """Tries the longest batch. Call it before the optimiser is made: what that will keep is counted.

        Returns:
            A line that says what the run takes.

        Raises:
            InputError: it does not fit; the text says what would.
        """
        # AdamW keeps two numbers for each that is trained.
        self._optimizer_bytes = 2 * self.trained_bytes()
        wanted = self.options.batch_size
        release()
        self.capacity = self._meter.capacity()
        with unchanged(self._module):
            # Where too much ends the process, larger batches are tried only when smaller ones say that they fit.
            fitting = {} if self._meter.kills else self._try(wanted)
            fitting = fitting or self._climb(wanted)
            if wanted not in fitting:
                self._refuse(fitting, "before the first step")
        self.taken = fitting[wanted]
        taken, capacity = in_gib(self.taken), in_gib(self.capacity)
        return f"longest batch: {wanted} x {self.tokens:,} tokens take {taken} of {capacity} of memory"

    def _try(self, batch: int) -> dict[int, int]:
        needed = self.needed(Step(batch=batch))
        return {} if needed is None else {batch: needed}

    def _climb(self, last: int) -> dict[int, int]:
        """Tries 1, 2, 4, ... samples and ``last``, each only where those before it say that it fits."""
        fitting = {0: self.idle()}
        for batch in dict.fromkeys([*(2**k for k in range(last.bit_length())), last] if last else []):
            if len(fitting) > 1 and advice.line(fitting)(batch) > self.capacity:
                break
            found = self._try(batch)
            if not found:
                break
            fitting |= found
            if batch > 1:
                fitting.pop(0, None)
        return {batch: needed for batch, needed in fitting.items() if batch}

    @contextmanager
    def explaining(self, last_step: Callable[[], int]) -> Iterator[None]:
        """Turns running out of memory in the middle of a run into advice.

        Args:
            last_step: gives the number of the last finished step.

        Raises:
            InputError: in place of the library's error.
        """
        try:
            yield
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            forget(error)
        else:
            return
        self._optimizer_bytes = 0  # it keeps them already
        self._module.zero_grad(set_to_none=True)
        release()
        self.capacity = self._meter.capacity()
        with unchanged(self._module):
            self._refuse(self._climb(self.options.batch_size - 1), f"after step {last_step()}")

    def _refuse(self, fitting: dict[int, int], when: str) -> NoReturn:
        problem, ways = advice.find(self, fitting)
        longest = self._longest[0].id
        raise InputError(
            f"out of memory {when}: {problem}", where=f"sample {longest!r}", fix="\n         or ".join(ways)
        )

    def idle(self) -> int:
        """Returns the memory that the run holds between the batches of a step, in bytes."""
        gradients = self.trained_bytes() if self.options.gradient_accumulation_steps > 1 else 0
        return self._meter.used() + self._optimizer_bytes + gradients

    def trained_bytes(self) -> int:
        """Returns the size of the parameters that are trained."""
        return sum(p.numel() * p.element_size() for p in self._module.parameters() if p.requires_grad)

    def weight_bytes(self) -> int:
        """Returns the size of all parameters."""
        return sum(p.numel() * p.element_size() for p in self._module.parameters())

    def needed(self, step: Step) -> int | None:
        """Returns the most memory that the run holds with such steps, in bytes; None where that is too much."""

        def work() -> None:
            batch = self._batch(step)
            # The Trainer has all batches of an optimiser's step there before the first is computed, and the next one.
            device = next(self._module.parameters()).device
            others = range(step.accumulation or self.options.gradient_accumulation_steps)
            waiting = [{name: tensor.to(device, copy=True) for name, tensor in batch.items()} for _ in others]
            if len(waiting) > 1:
                # From the second batch on, gradients are there before the forward pass.
                for parameter in self._module.parameters():
                    parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
            self._module.train()
            torch.autograd.backward(self._loss(batch))

        if step.recompute:
            self._module.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        self._module.zero_grad(set_to_none=True)
        peak = self._meter.measure(work)
        if step.recompute:
            self._module.activation_checkpointing_disable()
        self._module.zero_grad(set_to_none=True)
        release()
        if peak is None or peak + self._optimizer_bytes > self.capacity:
            return None
        return peak + self._optimizer_bytes

    def _batch(self, step: Step) -> dict[str, torch.Tensor]:
        examples = [self._example(sample, step) for sample in self._longest[: step.batch]]
        if self.options.packing:
            return self.model.collate(examples, pack=True)
        return self.model.collate(examples)

    def input_bytes(self) -> int:
        """Returns the size of what the longest sample gives to the model."""
        return sum(tensor.nbytes for tensor in self._batch(Step(batch=1)).values())

    def shape(self, step: Step, sample: Sample | None = None) -> tuple[int, int, int]:
        """Returns frames, height and width of a sample in a step, by default of the longest sample."""
        entry = self._cache.entry((sample or self._longest[0]).clip)
        frames = entry.n_frames if step.frames is None else min(step.frames, entry.n_frames)
        return (frames, *(step.size or (entry.height, entry.width)))

    def tokens_of(self, step: Step) -> int:
        """Returns the tokens of the longest sample in a step."""
        return self.model.count_tokens(
            self._longest[0].turns, None if isinstance(self._cache, Unseen) else self.shape(step)
        )

    def _example(self, sample: Sample, step: Step) -> Example:
        if isinstance(self._cache, Unseen):
            return self.model.encode(sample.turns, None)
        entry, shape = self._cache.entry(sample.clip), self.shape(step, sample)
        if isinstance(entry, CachedClip):
            black = Video(frames=np.zeros((*shape, 3), np.uint8), frame_seconds=entry.frame_seconds)
            return self.model.encode(sample.turns, black)
        count = self.model.count_tokens
        cached = (entry.n_frames, entry.height, entry.width)
        visual = entry.n_tokens + count(sample.turns, shape) - count(sample.turns, cached)
        values = torch.zeros(visual, entry.token_width, dtype=PRECISIONS[entry.dtype])
        return self.model.encode(sample.turns, Features(tokens=values, shape=shape, frame_seconds=entry.frame_seconds))
