"""cache_features as a user runs it, and training from what it made."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import cache_features
import cache_frames
import train as train_command
from support import run_script
from suture import features, files, model_folder
from suture.errors import InputError
from suture.frames import FrameCache
from suture.models.base import Video
from suture.registry import family as family_of
from toy_clips import cache_arguments, make_toy

FAMILIES = ["qwen2_5_vl", "llava_next_video"]
LORA = ["--use-lora", "--no-use-qlora", "--no-gradient-checkpointing"]


def command(module: Any, *arguments: object) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert not module.main(module.parser().parse_args([str(argument) for argument in arguments]))
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven clips with their frames; one of them cannot be read."""
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=7)
    (root / "clips" / "case_0001" / "case_0001_0.mp4").write_bytes(b"")
    command(cache_frames, *cache_arguments(root, root, "--max-rejected", 0.2))
    for name in FAMILIES:
        family_of(name).build_small(root / name)
    return root


def cache(toy: Path, out: Path, family: str, *more: object) -> None:
    command(
        cache_features,
        *["--family", family, "--model", toy / family, "--frames-cache", toy / "shard-0.jsonl"],
        *["--output", out / "shard-0.jsonl", "--array", out / "shard-0.npy", *more],
    )


def train(toy: Path, out: Path, family: str, *more: object) -> None:
    command(
        train_command,
        *["--family", family, "--model", toy / family, "--train", toy / "samples.jsonl", "--output", out],
        *["--frames-cache", toy / "shard-0.jsonl", "--max-steps", 6, "--batch-size", 1],
        *["--gradient-accumulation-steps", 2, "--precision", "fp32", "--learning-rate", 0.01, *more],
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_from_features_is_the_run_from_frames(
    toy: Path, tmp_path: Path, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cache(toy, tmp_path, family, "--dtype", "fp32")
    assert "features of 6 clips cached, 1 without frames passed on" in capsys.readouterr().out
    train(toy, tmp_path / "live", family, *LORA, "--lora-dropout", 0.1)
    train(
        toy, tmp_path / "cached", family, *LORA, "--lora-dropout", 0.1, "--features-cache", tmp_path / "shard-0.jsonl"
    )
    assert capsys.readouterr().out.count("1 train samples left out") == 2

    def history(run: str) -> list[dict[str, float]]:
        found: list[dict[str, float]] = files.read_json(tmp_path / run / "trainer_state.json")["log_history"]
        return found

    assert [entry["step"] for entry in history("live")] == [1, 2, 3, 4, 5, 6]
    assert history("cached") == history("live")
    weights = [model_folder.weights_digest(tmp_path / run) for run in ("live", "cached")]
    assert weights[0] == weights[1]


def test_features_are_those_of_the_model_and_frames_given(toy: Path, tmp_path: Path) -> None:
    cache(toy, tmp_path, "qwen2_5_vl", "--dtype", "fp32")
    found, frames = features.FeatureCache([tmp_path / "shard-0.jsonl"]), FrameCache([toy / "shard-0.jsonl"])
    model = family_of("qwen2_5_vl").load(toy / "qwen2_5_vl")
    assert len(found) == len(frames) == 6
    assert found.rejected["case_0001_0"].rejected == frames.rejected["case_0001_0"].rejected == "media_empty"
    for clip in ("case_0000_0", "case_0003_0"):
        entry = frames.entry(clip)
        (tokens,) = model.features([Video(frames=frames.frames(clip), frame_seconds=entry.frame_seconds)])
        assert found.features(clip).tokens.equal(tokens)
        assert found.entry(clip).pixels_sha256 == entry.pixels_sha256


def test_what_would_not_be_the_same_run_is_refused(toy: Path, tmp_path: Path) -> None:
    cache(toy, tmp_path, "qwen2_5_vl")
    full = ["--no-use-qlora", "--no-gradient-checkpointing"]
    for options, said in (
        (LORA, "weights dtype bf16, here fp32; precision bf16, here fp32"),
        ([*LORA, "--augment"], "`augment` varies the frames"),
        (full, "add `freeze_vision: true` and `freeze_projector: true`"),
        ([*LORA, "--precision", "bf16", "--lora-targets", "re:.*(q_proj|qkv)"], "tower and projector are trained"),
    ):
        with pytest.raises(InputError, match=said):
            train(toy, tmp_path / "out", "qwen2_5_vl", *options, "--features-cache", tmp_path / "shard-0.jsonl")
    assert not (tmp_path / "out").exists()


def test_bytes_do_not_depend_on_hash_seed_order_or_place(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    rows = files.read_jsonl(toy / "shard-0.jsonl")
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        out = tmp_path / f"place {seed}"
        out.mkdir()
        (out / "shard-0.npy").write_bytes((toy / "shard-0.npy").read_bytes())
        files.write_jsonl(out / "frames.jsonl", rows[::-1] if seed == "2" else rows)
        run_script(
            "cache_features",
            *["--family", "qwen2_5_vl", "--model", toy / "qwen2_5_vl", "--frames-cache", out / "frames.jsonl"],
            *["--output", out / "made" / "s.jsonl", "--array", out / "made" / "s.npy"],
        )
        made.append({path.name: path.read_bytes() for path in (out / "made").iterdir()})
    assert sorted(made[0]) == ["s.jsonl", "s.npy"]
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in made[0]["s.jsonl"]


def test_frames_of_a_size_that_the_tower_cannot_take_are_refused(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "shard-0.npy").write_bytes(b"an array made before")
    (tmp_path / "shard-0.jsonl").write_text("")
    command(
        cache_frames,
        *["--clips", toy / "clips.jsonl", "--clips-dir", toy / "clips", "--frames", 2, "--size", 50, 56],
        *["--output", tmp_path / "odd.jsonl", "--array", tmp_path / "odd.npy", "--max-rejected", 0.2],
    )
    with pytest.raises(InputError, match="frames of 50x56 pixels do not divide"):
        cache(toy, tmp_path, "qwen2_5_vl", "--frames-cache", tmp_path / "odd.jsonl")
    assert (tmp_path / "shard-0.npy").read_bytes() == b"an array made before"
