"""Every model family in the one loop: stopped anywhere and continued, it is to the bit the run that never stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import cache_features
import cache_frames
import export_model
import fetch_weights
import predict
import train as train_command
from support import call
from suture import cli, files, model_folder, registry
from suture.training import loop
from toy_clips import cache_arguments, make_toy

STEPS = 9
KINDS = {"full": ["--no-use-qlora"], "lora": ["--use-lora"], "qlora": ["--use-qlora"]}


@pytest.fixture(
    scope="module",
    params=[n for n in registry.names("model family") if "ANSWERS" not in registry.literals("model family", n)],
)
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp(request.param), clips=7)
    call(cache_frames, *cache_arguments(root, root))
    call(fetch_weights, "--family", request.param, "--model", "small", "--output", root / "base")
    return root


def train(data: Path, out: Path, kind: str, *more: object) -> int:
    family = model_folder.read_card(data / "base")["family"]
    inputs = ["--model", data / "base", "--train", data / "samples.jsonl", "--val", data / "samples.jsonl"]
    cache = ["--frames-cache", data / "shard-0.jsonl", "--output", out, "--work-dir", f"{out}-work"]
    options = ["--max-steps", STEPS, "--batch-size", 2, "--gradient-accumulation-steps", 2, "--learning-rate", 5e-3]
    varied = ["--precision", "fp32", "--augment", "--shuffle-turns", "--save-steps", 2, "--logging-steps", 2]
    varied += ["--no-gradient-checkpointing", *KINDS[kind]]
    if kind != "full":
        varied += ["--lora-dropout", 0.1, "--lora-targets", "all-linear"]
    code: int = call(train_command, "--family", family, *inputs, *cache, *options, *varied, *more)
    return code


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_stopped_anywhere_equals_one_that_never_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    whole, first, second = (tmp_path / name for name in ("whole", "1", "2"))
    assert train(data, whole, kind) == cli.DONE
    losses = [line["loss"] for line in files.read_jsonl(whole / "log.jsonl") if "loss" in line]
    assert losses[-1] < losses[0]
    # The signal comes in the second of the two batches of step 3: the step is finished, then saved.
    made = 0
    original = loop.Loop.training_step

    def training_step(self: loop.Loop, *args: Any, **kwargs: Any) -> Any:
        nonlocal made
        made += 1
        if made == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args, **kwargs)

    # The border is in mid-epoch: after 20 of 21 samples.
    with monkeypatch.context() as patched:
        patched.setattr(loop.Loop, "training_step", training_step)
        assert train(data, first, kind, "--until-step", 5) == cli.DEADLINE
    saved = {p.name for p in Path(f"{first}-work").glob("checkpoint-*")}
    assert saved == {"checkpoint-2", "checkpoint-3"}
    assert train(data, first, kind, "--until-step", 5, "--workers", 2) == cli.DONE
    assert train(data, second, kind, "--resume", first) == cli.DONE
    assert sorted(contents(whole)) == sorted(contents(second))
    assert [n for n, content in contents(whole).items() if contents(second)[n] != content] == []


def test_an_export_answers_as_the_library_loads_it(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "run", "qlora", "--until-step", 2) == cli.DONE
    exported, out = tmp_path / "exported", tmp_path / "predictions.jsonl"
    call(export_model, "--checkpoint", tmp_path / "run", "--base", data / "base", "--output", exported)
    asked = ["--samples", data / "samples.jsonl", "--frames-cache", data / "shard-0.jsonl", "--max-new-tokens", 8]
    call(predict, "--model", exported, *asked, "--output", out)
    assert len(files.read_jsonl(out)) == 14
    from transformers import AutoModelForImageTextToText, AutoProcessor

    AutoProcessor.from_pretrained(exported)
    _, report = AutoModelForImageTextToText.from_pretrained(exported, output_loading_info=True)
    assert not any(report.values())


def test_training_on_cached_features_is_training_on_frames(data: Path, tmp_path: Path) -> None:
    family = model_folder.read_card(data / "base")["family"]
    made = ["--output", tmp_path / "shard-0.jsonl", "--array", tmp_path / "shard-0.npy", "--dtype", "fp32"]
    source = ["--family", family, "--model", data / "base", "--frames-cache", data / "shard-0.jsonl"]
    call(cache_features, *source, *made)
    losses = []
    for name, more in (("frames", []), ("features", ["--features-cache", tmp_path / "shard-0.jsonl"])):
        assert train(data, tmp_path / name, "lora", "--no-augment", *more) == cli.DONE
        losses.append([line["loss"] for line in files.read_jsonl(tmp_path / name / "log.jsonl") if "loss" in line])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(losses[0]) == 4
