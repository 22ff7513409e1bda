"""A blind model learns from questions without their videos, and is asked without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import cache_frames
import export_model
import fetch_weights
import predict
import train as train_command
from support import call
from suture import cli, records
from suture.errors import ConfigError, InputError
from suture.records import Prediction
from toy_clips import cache_arguments, make_toy


@pytest.fixture(scope="module", params=["qwen2_5_vl", "llava_next_video"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def data(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp(family), clips=8)
    call(cache_frames, *cache_arguments(root, root))
    call(fetch_weights, "--family", family, "--model", "small", "--output", root / "base")
    return root


def train(data: Path, family: str, out: Path, *more: object) -> int:
    inputs = ["--model", data / "base", "--train", data / "samples.jsonl", "--frames-cache", data / "shard-0.jsonl"]
    where = ["--output", out, "--work-dir", f"{out}-work"]
    options = ["--max-steps", 30, "--batch-size", 4, "--gradient-accumulation-steps", 1, "--learning-rate", 2e-3]
    varied = ["--precision", "fp32", "--no-gradient-checkpointing", "--no-use-qlora", "--max-grad-norm", 1]
    code: int = call(train_command, "--family", family, *inputs, *where, *options, *varied, *more)
    return code


def test_it_learns_what_questions_give_away_and_nothing_of_the_pixels(data: Path, family: str, tmp_path: Path) -> None:
    assert train(data, family, tmp_path / "one", "--blind") == cli.DONE
    pixels = np.load(data / "shard-0.npy")
    try:
        np.save(data / "shard-0.npy", 255 - pixels)
        assert train(data, family, tmp_path / "two", "--blind") == cli.DONE
    finally:
        np.save(data / "shard-0.npy", pixels)
    folders = (data / "base", tmp_path / "one", tmp_path / "two")
    before, one, two = (load_file(folder / "model.safetensors") for folder in folders)
    assert all((one[name] == two[name]).all() for name in one)
    moved = {name for name in one if name in before and (one[name] != before[name]).any()}
    assert moved and not any("vision" in name or "visual" in name or "projector" in name for name in moved)

    call(export_model, "--base", data / "base", "--checkpoint", tmp_path / "one", "--output", tmp_path / "model")
    asked = ["--samples", data / "samples.jsonl", "--frames-cache", data / "shard-0.jsonl"]
    model, answers = ["--model", tmp_path / "model"], tmp_path / "answers.jsonl"
    call(predict, *model, *asked, "--video", "none", "--max-new-tokens", 12, "--output", answers)
    said: dict[str, set[str]] = {}
    for answer in records.read(answers, Prediction):
        said.setdefault(answer.question, set()).add(answer.prediction)
    # Six of eight clips are not red: "no" is what the question alone tells. All clips get one answer.
    assert said["Is it red?"] == {"no"}
    assert all(len(texts) == 1 for texts in said.values())


def test_what_would_need_a_video_is_refused(data: Path, family: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`augment` and `blind` do not go together"):
        train(data, family, tmp_path / "out", "--blind", "--augment")
    with pytest.raises(ConfigError, match="all three towers are frozen"):
        train(data, family, tmp_path / "out", "--blind", "--freeze-language")
    with pytest.raises(InputError, match="`blind` shows no video"):
        train(data, family, tmp_path / "out", "--blind", "--features-cache", data / "shard-0.jsonl")
