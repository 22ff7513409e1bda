"""Memory: what a step takes is measured without a trace, and advice is what really fits."""

from __future__ import annotations

import gc
import random
import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suture.config.training import Train
from suture.errors import InputError
from suture.features import FeatureCache, maker_of, write_shard
from suture.frames import CachedClip
from suture.models import qwen2_5_vl
from suture.models.base import Video
from suture.records import Sample, Turn
from suture.training import advice, memory
from suture.training.advice import Step
from suture.training.loop import prepare
from suture.training.memory import GIB, HostMeter, Meter, is_out_of_memory, release, unchanged
from suture.training.probe import Probe

SHAPE = (4, 56, 56)


def options(**changed: Any) -> Train:
    return Train(**{"max_steps": 4, "steps_per_job": 4, "precision": "fp32", "batch_size": 3, **changed})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "base"
    qwen2_5_vl.build_small(folder)
    return folder


def line(clip: str) -> CachedClip:
    n, height, width = SHAPE
    where: dict[str, Any] = {"clip": clip, "case": "case", "array": "there is none", "row": 0}
    size: dict[str, Any] = {"n_frames": n, "height": height, "width": width, "indices": tuple(range(n))}
    digests = {"clip_sha256": "", "pixels_sha256": "", "decoder": "none", "decoder_version": ""}
    return CachedClip(**where, **size, **digests, frame_seconds=0.5)


class Frames:
    """Lines of a frame cache that has no pixels."""

    def entry(self, clip: str) -> CachedClip:
        return line(clip)


SAMPLES = [
    Sample(
        id=f"sample {n}",
        case="case",
        clip=f"clip {n}",
        phase="phase",
        turns=(Turn(question="Which phase is shown? " * (n % 4 + 1), answer="Incision.", kind="phase"),),
    )
    for n in range(6)
]


def probe_of(model: Any, wanted: Train, **changed: Any) -> Probe:
    lengths = [model.count_tokens(sample.turns, SHAPE) for sample in SAMPLES]
    given: dict[str, Any] = {"samples": SAMPLES, "lengths": lengths, "cache": Frames()}
    given["loss"] = lambda batch: model.loss(model.model, batch, None)
    return Probe(model, wanted, **given | changed)


def test_errors_of_memory_are_told_from_others() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(2**50, dtype=torch.float64)
    with pytest.raises(MemoryError) as of_numpy:
        np.ones(2**50)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)
    assert is_out_of_memory(of_torch.value)
    assert is_out_of_memory(of_numpy.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(other.value)
    assert not is_out_of_memory(ValueError("CUDA out of memory"))


def test_the_highest_point_is_that_of_the_work() -> None:
    meter, size = HostMeter(), 300 * 2**20
    # What other tests have left behind would be given back meanwhile.
    gc.collect()
    release()
    used = meter.used()
    assert 20 * 2**20 < used < meter.capacity()

    def work() -> None:
        torch.ones(size // 4).sum()

    for _ in range(2):
        peak = meter.measure(work)
        assert peak is not None
        assert 0.9 * size < peak - used < 1.3 * size
    assert meter.used() < used + 0.2 * size


def test_work_that_fails_leaves_nothing_behind() -> None:
    meter, size = HostMeter(), 300 * 2**20

    def work() -> None:
        held = torch.ones(size // 4)
        torch.empty(2**50) + held

    used = meter.used()
    assert meter.measure(work) is None
    assert meter.used() < used + 0.2 * size
    with pytest.raises(ZeroDivisionError):
        meter.measure(lambda: 1 // 0 and None)


def test_states_are_those_from_before_even_after_an_error() -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5), torch.nn.Linear(3, 1))
    model[1].eval()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)

    def drawn() -> tuple[Any, ...]:
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    before = drawn()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    mean = model[0].running_mean.clone()
    with pytest.raises(ZeroDivisionError), unchanged(model):
        model.train()
        model(torch.randn(8, 3) + 5).sum().backward()
        drawn()
        assert not torch.equal(model[0].running_mean, mean)
        raise ZeroDivisionError
    assert torch.equal(model[0].running_mean, mean)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (model[0].training, model[1].training, model.training) == (True, False, True)
    assert drawn() == before


@pytest.mark.parametrize("adapter", [{}, {"use_lora": True, "lora_dropout": 0.3}])
def test_a_run_is_the_same_after_a_probe_to_the_bit(base: Path, adapter: dict[str, Any]) -> None:
    wanted = options(**adapter, gradient_accumulation_steps=2)

    def run(*, probed: bool) -> tuple[list[float], list[torch.Tensor], str]:
        model = qwen2_5_vl.load(base)
        prepare(model, wanted)
        torch.manual_seed(5)
        optimizer = torch.optim.AdamW([p for p in model.model.parameters() if p.requires_grad], lr=1e-2)
        said = probe_of(model, wanted).run() if probed else ""
        model.model.train()
        frames = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
        losses = []
        for at in range(6):
            sample = SAMPLES[at]
            loss = model.loss(model.model, model.collate([model.encode(sample.turns, Video(frames=frames))]), None)
            loss.backward()
            if at % 2:
                optimizer.step()
                optimizer.zero_grad()
            losses.append(float(loss.detach()))
        return losses, [p.detach().clone() for p in model.model.parameters()], said

    losses, weights, said = run(probed=True)
    plain, plain_weights, _ = run(probed=False)
    assert losses == plain
    assert all(torch.equal(one, two) for one, two in zip(weights, plain_weights, strict=True))
    assert re.fullmatch(r"longest batch: 3 x \d+ tokens take \d+\.\d+ GiB of \d+\.\d GiB of memory", said)


def test_the_longest_samples_are_tried_and_a_small_set_repeats(base: Path) -> None:
    model = qwen2_5_vl.load(base)
    seen: list[torch.Size] = []

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append(batch["input_ids"].shape)
        return model.loss(model.model, batch, None)

    longest = max(model.count_tokens(sample.turns, SHAPE) for sample in SAMPLES)
    probe_of(model, options(batch_size=8), loss=loss).run()
    assert seen == [(1, longest), (2, longest), (4, longest), (8, longest)]
    # From two batches the third is known: one too large is not even tried.
    seen.clear()
    probe = probe_of(model, options(batch_size=8), loss=loss)
    probe._meter = Told(lambda rows: rows * GIB, capacity=7 * GIB // 2, seen=seen)
    with pytest.raises(InputError, match=r"batch_size 8 of up to .* tokens needs about 8\.0 GiB, there are 3\.5 GiB"):
        probe.run()
    assert max(rows for rows, _ in seen) == 3


class Told(Meter):
    """Says what it is told: so much for so many rows of the batch."""

    kills = True
    safe = 0.9

    def __init__(self, bytes_for: Any, *, capacity: int, seen: list[torch.Size]) -> None:
        self._bytes_for, self._capacity, self._seen = bytes_for, capacity, seen

    def used(self) -> int:
        return 0

    def capacity(self) -> int:
        return self._capacity

    def reset(self) -> None:
        self._seen.append(torch.Size([0, 0]))

    def peak(self) -> int:
        return int(self._bytes_for(self._seen[-1][0]))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_gradients_are_there_as_in_all_batches_of_a_step_but_the_first(base: Path, accumulation: int) -> None:
    model = qwen2_5_vl.load(base)
    wanted = options(use_lora=True, gradient_accumulation_steps=accumulation)
    prepare(model, wanted)
    there: list[bool] = []

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        there.extend((p.grad is not None) == (p.requires_grad and accumulation > 1) for p in model.model.parameters())
        return model.loss(model.model, batch, None)

    probe_of(model, wanted, loss=loss).run()
    assert there
    assert all(there)
    assert all(parameter.grad is None for parameter in model.model.parameters())


def test_what_the_optimiser_will_keep_is_counted_once(base: Path) -> None:
    model = qwen2_5_vl.load(base)
    wanted = options(use_lora=True)
    prepare(model, wanted)
    trained = [p for p in model.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    kept = sum(v.nbytes for s in optimizer.state.values() for k, v in s.items() if k != "step")
    gradients = sum(p.grad.nbytes for p in trained if p.grad is not None)
    seen: list[torch.Size] = []

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append(batch["input_ids"].shape)
        return model.loss(model.model, batch, None)

    probe = probe_of(model, wanted, loss=loss)
    probe._meter = Told(lambda rows: rows * GIB, capacity=9 * GIB, seen=seen)
    assert "take 3.0 GiB of 9.0 GiB" in probe.run()
    assert probe.idle() == kept + gradients
    # The batch fits, but not beside what the optimiser keeps after the first step.
    probe._meter = Told(lambda rows: rows * GIB, capacity=3 * GIB + kept // 2, seen=seen)
    with pytest.raises(InputError, match="out of memory before the first step"):
        probe.run()
    with pytest.raises(InputError, match="after step 3"), probe.explaining(lambda: 3):
        torch.empty(2**50)
    assert probe.idle() == gradients


def test_features_are_tried_without_the_array(base: Path, tmp_path: Path) -> None:
    model = qwen2_5_vl.load(base)
    frames = np.zeros((*SHAPE, 3), np.uint8)
    write_shard(
        [line(sample.clip) for sample in SAMPLES],
        compute=lambda clip: model.features([Video(frames=frames)])[0],
        maker=maker_of(model, base, "fp32"),
        manifest=tmp_path / "s.jsonl",
        array=tmp_path / "s.npy",
    )
    cache = FeatureCache([tmp_path / "s.jsonl"])
    batches: list[dict[str, torch.Tensor]] = []

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        batches.append(batch)
        return model.loss(model.model, batch, None)

    probe = probe_of(model, options(use_lora=True), cache=cache, loss=loss)
    probe.run()
    assert batches[-1]["features"].shape == (3 * 8, 64)
    assert "pixel_values_videos" not in batches[-1]
    probe.needed(Step(batch=2, frames=2))
    assert batches[-1]["features"].shape == (2 * 4, 64)


def test_running_out_in_the_middle_gives_advice_and_other_errors_pass(base: Path) -> None:
    model = qwen2_5_vl.load(base)
    left: list[weakref.ref[torch.Tensor]] = []

    def step() -> None:
        held = torch.ones(1000)
        left.append(weakref.ref(held))
        torch.empty(2**50)

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        assert left[0]() is None, "what failed still holds its tensors while others are tried"
        return model.loss(model.model, batch, None)

    probe = probe_of(model, options(batch_size=4, gradient_accumulation_steps=2), loss=loss)
    with (
        pytest.raises(InputError, match=r"out of memory after step 7: batch_size 4 of up to .* needs about") as found,
        probe.explaining(lambda: 7),
    ):
        step()
    assert "batch_size 2 with gradient_accumulation_steps 4" in str(found.value)
    with pytest.raises(ZeroDivisionError), probe.explaining(lambda: 7):
        raise ZeroDivisionError


class World:
    """A probe in a world whose memory is known: a base, and so much for each text and visual token."""

    def __init__(self, wanted: Train, *, capacity: float, inputs: int = 2**25) -> None:
        self.options = wanted
        self.capacity = int(capacity * GIB)
        self.model = self
        self._shape, self._inputs = (10, 224, 224), inputs
        self.tokens = self.tokens_of(Step(batch=1))
        self.most = 0
        self.safe = 0.95

    def check_size(self, height: int, width: int) -> None:
        if height % 28 or width % 28:
            raise InputError("no such size")

    def shape(self, step: Step) -> tuple[int, int, int]:
        n, height, width = self._shape
        return (min(step.frames or n, n), *(step.size or (height, width)))

    def visual(self, step: Step) -> int:
        n, height, width = self.shape(step)
        return -(-n // 2) * (height // 28) * (width // 28)

    def tokens_of(self, step: Step) -> int:
        return 150 + self.visual(step)

    def idle(self) -> int:
        return 16 * GIB + (self.trained_bytes() if self.options.gradient_accumulation_steps > 1 else 0)

    def truth(self, step: Step) -> int:
        sample = (150 * 4 + self.visual(step) * 20) * 2**20
        accumulation = step.accumulation or self.options.gradient_accumulation_steps
        waiting = accumulation * step.batch * self.visual(step) * self.input_bytes() // self.visual(Step(batch=1))
        gradients = self.trained_bytes() if accumulation > 1 else 0
        return 16 * GIB + int(step.batch * sample * (0.25 if step.recompute else 1)) + waiting + gradients

    def input_bytes(self) -> int:
        return self._inputs

    def needed(self, step: Step) -> int | None:
        self.most = max(self.most, self.truth(step))
        return self.truth(step) if self.truth(step) <= self.capacity else None

    def trained_bytes(self) -> int:
        return GIB

    def weight_bytes(self) -> int:
        return 15 * GIB


def advise(world: World) -> tuple[str, list[str]]:
    """Advice from the batches that fit among the smallest."""
    assert world.needed(Step(batch=world.options.batch_size)) is None
    world.most = 0
    fitting = {batch: taken for batch in (1, 2) if (taken := world.truth(Step(batch=batch))) <= world.capacity}
    return advice.find(world, fitting)  # type: ignore[arg-type]


def test_advice_is_the_most_that_fits_in_each_way() -> None:
    lora = options(use_lora=True, batch_size=8, gradient_accumulation_steps=8)
    world = World(lora, capacity=60)
    problem, ways = advise(world)
    assert problem == "batch_size 8 of up to 470 tokens needs about 73.7 GiB, there are 60.0 GiB"
    assert ways == [
        "batch_size 4 with gradient_accumulation_steps 16 (46.3 GiB, 64 samples a step)",
        "batch_size 5 with gradient_accumulation_steps 13 (53.2 GiB, 65 samples a step, now 64)",
        "gradient_checkpointing: true (32.7 GiB)",
        "6 of 10 frames a clip (52.9 GiB)",
        "frames of 168x168 pixels (50.9 GiB)",
    ]


@pytest.mark.parametrize("capacity", range(45, 87, 4))
def test_whatever_is_named_fits_and_nothing_larger_does(capacity: int) -> None:
    wanted = options(use_lora=True, batch_size=8, gradient_accumulation_steps=8)
    world = World(wanted, capacity=capacity, inputs=2**28)
    _, ways = advise(world)
    text = "; ".join(ways)

    def most(steps: Iterator[Step]) -> Step | None:
        return max((s for s in steps if fits(s)), key=lambda s: (s.batch, world.truth(s)), default=None)

    def fits(step: Step) -> bool:
        return world.truth(step) <= world.safe * world.capacity

    largest = most(Step(batch=b, accumulation=-(-64 // b)) for b in range(1, 8))
    assert largest
    assert f"batch_size {largest.batch} with" in text
    frames = most(Step(batch=8, frames=n) for n in range(2, 10, 2))
    assert ("frames a clip" in text) == (frames is not None)
    assert frames is None or f"{frames.frames} of 10 frames a clip" in text
    size = most(Step(batch=8, size=(s, s)) for s in range(28, 224, 28))
    assert ("pixels" in text) == (size is not None)
    assert size is None or f"frames of {size.size[0]}x{size.size[1]} pixels" in text  # type: ignore[index]
    assert ("gradient_checkpointing: true" in text) == fits(Step(batch=8, recompute=True))
    # Nothing was tried that was known to be too much: on a CPU that ends the process.
    assert world.most <= world.capacity


def test_one_sample_that_does_not_fit_gets_advice_too() -> None:
    wanted = options(use_lora=True, batch_size=2, gradient_accumulation_steps=4)
    problem, ways = advise(World(wanted, capacity=20))
    assert problem == "even one sample of 470 tokens needs more, there are 20.0 GiB"
    alone = "with batch_size 1 and gradient_accumulation_steps 8"
    assert ways == [
        f"gradient_checkpointing: true (19.0 GiB) {alone}",
        f"2 of 10 frames a clip (18.9 GiB) {alone}",
        f"frames of 56x56 pixels (18.0 GiB) {alone}",
        "use_qlora: true (the weights take 15.0 GiB now)",
    ]
    assert advise(World(wanted, capacity=16.1))[1] == ["use_qlora: true (the weights take 15.0 GiB now)"]
    full = options(batch_size=1, gradient_checkpointing=True)
    assert advise(World(full, capacity=16.1))[1] == [
        "use_lora: true (gradients and optimiser of full training take 3.0 GiB)"
    ]


def test_control_groups_are_read_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUP", tmp_path / "own")
    (tmp_path / "own").write_text("0::/job_7/step\n")
    (tmp_path / "job_7" / "step").mkdir(parents=True)
    free = HostMeter().capacity() - HostMeter().used()
    (tmp_path / "job_7" / "step" / "memory.max").write_text("max\n")
    (tmp_path / "job_7" / "memory.max").write_text(f"{3 * 2**20}\n")
    (tmp_path / "job_7" / "memory.current").write_text(f"{2**20}\n")
    assert free > 2**28
    assert HostMeter().capacity() - HostMeter().used() == pytest.approx(2 * 2**20, abs=2**19)
