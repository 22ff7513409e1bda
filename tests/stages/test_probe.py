"""probe.py: a few real steps, timed, and what the longest batch takes, full and with LoRA."""

from __future__ import annotations

from pathlib import Path

import pytest

import cache_frames
from support import run_script
from suture import probing
from suture.config.training import Train
from suture.models import qwen2_5_vl
from suture.probing import Probe
from toy_clips import cache_arguments, make_toy

PLAIN = ["--no-use-qlora", "--no-gradient-checkpointing", "--precision", "fp32", "--batch-size", 2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=8)
    cache_frames.main(cache_frames.parser().parse_args([str(word) for word in cache_arguments(root, root)]))
    qwen2_5_vl.build_small(root / "base")
    return root


@pytest.fixture(scope="module")
def probed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Probe, str, Path]:
    out = tmp_path_factory.mktemp("probe")
    files = ["--model", data / "base", "--train", data / "samples.jsonl", "--val", data / "samples.jsonl"]
    cache = ["--frames-cache", data / "shard-0.jsonl", "--experiment", "toy", "--output", out / "toy.json"]
    said = run_script("probe", "--family", "qwen2_5_vl", *files, *cache, *PLAIN, "--steps", 2)
    found = probing.read(out / "toy.json")
    assert found is not None
    return found, said, out


def test_a_probe_times_steps_saves_and_validation(probed: tuple[Probe, str, Path]) -> None:
    timing = probed[0].timing
    assert timing is not None and timing.steps == 2
    assert 0 < timing.seconds_per_step < timing.start_seconds
    assert timing.save_seconds > 0 and timing.validation_seconds > 0
    assert probed[0].samples == 8


def test_the_checkpoint_s_size_is_that_of_weights_and_optimiser(data: Path, probed: tuple[Probe, str, Path]) -> None:
    timing = probed[0].timing
    assert timing is not None
    weights = sum(path.stat().st_size for path in (data / "base").glob("*.safetensors"))
    # Single-precision weights, and two numbers of AdamW for each of them.
    assert timing.checkpoint_bytes == pytest.approx(3 * weights, rel=0.1)
    assert timing.checkpoint_files >= 5


def test_full_training_takes_more_memory_than_lora(probed: tuple[Probe, str, Path]) -> None:
    memory = probed[0].memory
    assert probed[0].mode == "full" and set(memory) == {"full", "lora"}
    full, lora = memory["full"].bytes, memory["lora"].bytes
    assert full is not None and lora is not None and full > lora > 0


def test_that_there_is_no_gpu_is_said(probed: tuple[Probe, str, Path]) -> None:
    if probed[0].gpus:
        pytest.skip("this machine has a GPU")
    assert "measured on a CPU" in probed[1]


def test_nothing_of_what_was_trained_is_left(probed: tuple[Probe, str, Path]) -> None:
    assert [path.name for path in probed[2].iterdir()] == ["toy.json"]


def test_another_seed_or_length_needs_no_new_measurement() -> None:
    options = Train(max_steps=100, steps_per_job=10)
    same = Train(max_steps=9, steps_per_job=9, seed=3, save_steps=7)
    assert probing.asked(options) == probing.asked(same)
    assert probing.asked(options) != probing.asked(Train(max_steps=100, steps_per_job=10, batch_size=5))
