"""Options of training as a user meets them: what is frozen, how fast what learns, when a run ends early."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import cache_frames
import export_model
import fetch_weights
import train as train_command
from support import call, run_script
from suture import cli, files, model_folder, records
from suture.errors import ConfigError, InputError
from suture.records import Sample
from suture.training import loop
from toy_clips import cache_arguments, make_toy

STEPS = 12
FULL = ["--no-use-qlora", "--no-gradient-checkpointing"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=7)
    call(cache_frames, *cache_arguments(root, root))
    call(fetch_weights, "--family", "qwen2_5_vl", "--model", "small", "--output", root / "base")
    return root


def train(data: Path, out: Path, *more: object) -> int:
    inputs = ["--model", data / "base", "--train", data / "samples.jsonl", "--val", data / "samples.jsonl"]
    cache = ["--frames-cache", data / "shard-0.jsonl", "--output", out, "--work-dir", f"{out}-work"]
    options = ["--max-steps", STEPS, "--batch-size", 2, "--gradient-accumulation-steps", 2, "--learning-rate", 2e-3]
    varied = ["--precision", "fp32", "--save-steps", 3, "--logging-steps", 1]
    code: int = call(train_command, "--family", "qwen2_5_vl", *inputs, *cache, *options, *varied, *more)
    return code


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in files.read_jsonl(folder / "log.jsonl") if "loss" in line]


def moved(before: Path, after: Path, part: str) -> float:
    """How far the weights of a part went, at most."""
    one, two = load_file(before / "model.safetensors"), load_file(after / "model.safetensors")
    found = [np.abs(two[name] - weight).max() for name, weight in one.items() if part in name]
    assert found
    return float(max(found))


def test_a_frozen_tower_stays_as_it_is_to_the_bit(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(data, tmp_path / "out", *FULL, "--freeze-vision", "--until-step", 2) == cli.DONE
    out = capsys.readouterr().out
    assert "vision frozen" in out
    parts = ["visual.blocks", "visual.merger", "layers.0.mlp"]
    assert [moved(data / "base", tmp_path / "out", part) > 0 for part in parts] == [False, True, True]
    card = model_folder.read_card(tmp_path / "out")["parameters"]
    assert f"{card['trainable']} of {card['total']} parameters" in out
    assert card["trainable"] == card["total"] - card["vision"]
    with pytest.raises(InputError, match="freeze_vision was True in the segment before, now it is False"):
        train(data, tmp_path / "2", *FULL, "--resume", tmp_path / "out")


def test_a_tower_learns_at_its_own_rate(data: Path, tmp_path: Path) -> None:
    slow = ["--vision-learning-rate", 2e-6, "--until-step", 1, "--warmup-ratio", 0]
    assert train(data, tmp_path / "out", *FULL, *slow) == cli.DONE
    # Adam's first step is about the learning rate, whatever the gradient.
    assert moved(data / "base", tmp_path / "out", "visual.blocks") == pytest.approx(2e-6, rel=0.1)
    assert moved(data / "base", tmp_path / "out", "layers.0.mlp") == pytest.approx(2e-3, rel=0.1)


@pytest.mark.parametrize(
    "flags", [["--use-dora"], ["--use-rslora", "--r", 16], ["--lora-vision-targets", "all-linear"]]
)
def test_kinds_of_adapter_learn_continue_and_merge(data: Path, tmp_path: Path, flags: list[object]) -> None:
    base = ["--use-lora", *flags, "--learning-rate", 1e-2, "--lora-dropout", 0.1]
    whole, first, second = tmp_path / "whole", tmp_path / "1", tmp_path / "2"
    assert train(data, whole, *base) == train(data, first, *base, "--until-step", 5) == cli.DONE
    assert train(data, second, *base, "--resume", first) == cli.DONE
    assert contents(whole) == contents(second)
    assert losses(whole)[-1] < 0.8 * losses(whole)[0]
    plain = tmp_path / "plain"
    assert (
        train(data, plain, "--use-lora", "--learning-rate", 1e-2, "--lora-dropout", 0.1, "--until-step", 3) == cli.DONE
    )
    assert losses(plain)[:3] != losses(whole)[:3]
    # Export refuses a merge that does not compute what base and adapters do.
    call(export_model, "--checkpoint", whole, "--base", data / "base", "--output", tmp_path / "exported")
    merged = model_folder.read_card(tmp_path / "exported")["merged"]
    assert merged["difference"] < 1e-5 < 0.01 < merged["effect"]
    vision = "--lora-vision-targets" in flags
    assert (moved(data / "base", tmp_path / "exported", "visual.blocks") > 0) == vision


@pytest.mark.parametrize("kind", [FULL, ["--use-lora", "--lora-dropout", 0, "--no-gradient-checkpointing"]])
def test_packed_batches_give_the_losses_of_padded_ones(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: list[object]
) -> None:
    rows: dict[str, list[int]] = {"--packing": [], "--no-packing": []}
    for flag, shapes in rows.items():
        step = loop.Loop.training_step

        def seen(self: Any, model: Any, batch: Any, *more: Any, step: Any = step, shapes: Any = shapes) -> Any:
            shapes.append(len(batch["input_ids"]))
            return step(self, model, batch, *more)

        with monkeypatch.context() as patched:
            patched.setattr(loop.Loop, "training_step", seen)
            assert train(data, tmp_path / flag, *kind, flag, "--until-step", 4) == cli.DONE
    # Two batches of two samples a step.
    assert rows == {"--packing": [1] * 8, "--no-packing": [2] * 8}
    packed, padded = (losses(tmp_path / flag) for flag in rows)
    assert packed == pytest.approx(padded, rel=1e-4)


def test_batches_by_length_continue_to_the_bit(data: Path, tmp_path: Path) -> None:
    samples: list[Sample] = records.read(data / "samples.jsonl", Sample)
    longer = [Sample(**{**s.__dict__, "turns": s.turns * (1 + n % 3)}) for n, s in enumerate(samples)]
    records.write(tmp_path / "train.jsonl", longer)
    grouped = [*FULL, "--group-by-length", "--train", tmp_path / "train.jsonl"]
    whole, first, second = tmp_path / "whole", tmp_path / "1", tmp_path / "2"
    assert train(data, whole, *grouped) == train(data, first, *grouped, "--until-step", 5) == cli.DONE
    assert train(data, second, *grouped, "--resume", first, "--workers", 2) == cli.DONE
    assert contents(whole) == contents(second)


def test_a_run_ends_early_and_hands_its_best_weights_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A rate at which the loss soon rises.
    hot = [
        *FULL,
        "--learning-rate",
        0.5,
        "--warmup-ratio",
        0.3,
        "--eval-steps",
        1,
        "--early-stopping-patience",
        3,
        "--keep-best",
    ]
    ends = []
    for segments in ([STEPS], [2, 5, STEPS]):
        before: list[object] = []
        for number, until in enumerate(segments):
            out = tmp_path / f"{len(segments)}-{number}"
            assert train(data, out, *hot, "--until-step", until, *before) == cli.DONE
            before = ["--resume", out]
        ends.append(out)
    whole, last = ends
    assert contents(whole) == contents(last)
    card, log = model_folder.read_card(whole), files.read_jsonl(whole / "log.jsonl")
    evaluations = {line["step"]: line["eval_loss"] for line in log if "eval_loss" in line}
    best = min(evaluations, key=lambda step: evaluations[step])
    assert (card["best_step"], card["step"]) == (best, best + 3)
    assert card["step"] < STEPS
    assert (
        f"ended at step {best + 3} of {STEPS}: the validation loss was lowest at step {best}" in capsys.readouterr().out
    )
    # What is exported is what the best step had, as a run that ends there.
    there = tmp_path / "there"
    assert train(data, there, *hot, "--until-step", best) == cli.DONE
    call(export_model, "--checkpoint", whole, "--base", data / "base", "--output", tmp_path / "exported")
    assert (tmp_path / "exported" / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()
    exported = model_folder.read_card(tmp_path / "exported")
    assert exported["step"] == best


def test_a_run_killed_after_its_early_end_does_not_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from suture.training import checkpoint

    out, flags = tmp_path / "out", [*FULL, "--learning-rate", 1e-9, "--plateau-steps", 10, "--max-steps", 30]
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "publish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(data, out, *flags)
    assert train(data, out, *flags) == cli.DONE
    card = model_folder.read_card(out)
    assert card["step"] == 20
    assert "stopped falling" in card["stopped"]


def test_validation_losses_need_validation_data(data: Path, tmp_path: Path) -> None:
    flags = ["--family", "qwen2_5_vl", "--model", data / "base", "--train", data / "samples.jsonl", "--max-steps", 2]
    more = ["--frames-cache", data / "shard-0.jsonl", "--output", tmp_path / "out", "--eval-steps", 1]
    assert "there is no validation data" in run_script("train", *flags, *more, code=2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_and_continues_to_the_bit(data: Path, tmp_path: Path, precision: str) -> None:
    half = [*FULL, "--precision", precision]
    whole, first, second = tmp_path / "whole", tmp_path / "1", tmp_path / "2"
    assert train(data, whole, *half) == train(data, first, *half, "--until-step", 5) == cli.DONE
    assert train(data, second, *half, "--resume", first) == cli.DONE
    assert contents(whole) == contents(second)
    assert losses(whole)[-1] < 0.9 * losses(whole)[0]


def test_curves_are_written_for_tensorboard(data: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watched = [*FULL, "--report-to", "tensorboard", "--tracking-dir", tmp_path / "curves"]
    first, second, plain = tmp_path / "1", tmp_path / "2", tmp_path / "plain"
    assert train(data, first, *watched, "--until-step", 2) == cli.DONE
    assert train(data, second, *watched, "--until-step", 4, "--resume", first) == cli.DONE
    events = EventAccumulator(str(tmp_path / "curves")).Reload()
    drawn = {event.step: event.value for event in events.Scalars("train/loss")}
    assert drawn == pytest.approx(dict(enumerate(losses(second), start=1)), rel=1e-6)
    # Who watches changes nothing of what is learnt.
    assert train(data, plain, *FULL, "--until-step", 4) == cli.DONE
    assert contents(plain) == contents(second)


def test_a_tracker_that_is_not_installed_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from suture.training import trackers

    monkeypatch.setitem(trackers._PACKAGE, "mlflow", "no_such_package")
    with pytest.raises(ConfigError, match="the package no_such_package is not installed"):
        train(data, tmp_path / "out", *FULL, "--report-to", "mlflow")


def test_epochs_become_steps_and_it_is_said(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--family", "qwen2_5_vl", "--model", data / "base", "--train", data / "samples.jsonl", *FULL]
    cache = ["--frames-cache", data / "shard-0.jsonl", "--output", tmp_path / "out", "--batch-size", 2]
    more = ["--gradient-accumulation-steps", 2, "--precision", "fp32", "--num-epochs", 1.5]
    assert call(train_command, *given, *cache, *more) == cli.DONE
    steps = math.ceil(7 * 1.5 / 4)
    assert f"1.5 epochs of 7 samples, 4 a step: {steps} steps" in capsys.readouterr().out
    assert model_folder.read_card(tmp_path / "out")["step"] == steps
    with pytest.raises(InputError, match="both say how long"):
        call(train_command, *given, *cache, *more, "--max-steps", 3)


def test_help_names_the_published_defaults_of_each_family() -> None:
    for family, rate in (("qwen2_5_vl", "0.0002"), ("llava_next_video", "2e-05")):
        said = " ".join(run_script("train", "--family", family, "--help").split())
        assert f"Peak learning rate. (default: {rate})" in said
        assert "--no-use-qlora" in said
