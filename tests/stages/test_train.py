"""Training as a user runs it: segments, interruptions, refusals. Each step is the small model's real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fetch_weights
from support import SCRIPTS, call, run_script
from suture import cli, files, model_folder, records
from suture.errors import ConfigError, InputError, SutureError
from suture.records import Sample, Turn
from toy_clips import cache_arguments, make_toy

STEPS = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=7)
    run_script("cache_frames", *cache_arguments(root, root))
    call(fetch_weights, "--family", "qwen2_5_vl", "--model", "small", "--output", root / "base")
    return root


def arguments(data: Path, out: Path, *more: object) -> list[str]:
    """A run whose 7 samples, batches of 2 and accumulation of 2 put epochs' ends inside optimiser steps."""
    inputs = ["--model", data / "base", "--train", data / "samples.jsonl", "--val", data / "samples.jsonl"]
    cache = ["--frames-cache", data / "shard-0.jsonl", "--output", out, "--work-dir", f"{out}-work"]
    options = ["--max-steps", STEPS, "--batch-size", 2, "--gradient-accumulation-steps", 2, "--learning-rate", 2e-3]
    varied = ["--precision", "fp32", "--augment", "--shuffle-turns", "--save-steps", 3, "--logging-steps", 7]
    varied += ["--no-use-qlora", "--no-gradient-checkpointing"]
    return [str(a) for a in ["--family", "qwen2_5_vl", *inputs, *cache, *options, *varied, *more]]


def train(data: Path, out: Path, *more: object) -> int:
    """Trains in this process, which saves the 10 s of imports; each call starts from files all the same."""
    import train as command

    before = signal.getsignal(signal.SIGTERM)
    try:
        return command.main(command.parser().parse_args(arguments(data, out, *more)))
    finally:
        signal.signal(signal.SIGTERM, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(data: Path) -> Path:
    """The run that never stopped."""
    out = data / "whole"
    assert train(data, out) == cli.DONE
    return out


def interrupt(data: Path, out: Path, how: signal.Signals, *more: object) -> int:
    """Starts a segment in a process of its own, and sends it a signal once it has saved something."""
    command = [sys.executable, str(SCRIPTS / "train.py"), *arguments(data, out, *more)]
    before = set(Path(f"{out}-work").glob("*/complete.json"))
    with (
        Path(f"{out}.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        until = time.monotonic() + 300
        while not set(Path(f"{out}-work").glob("*/complete.json")) - before:
            assert process.poll() is None, Path(f"{out}.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.002)
        os.kill(process.pid, how)
    return process.returncode


def test_interrupted_segments_equal_one_undisturbed_run_to_the_bit(data: Path, whole: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    border = ["--until-step", 31]
    assert interrupt(data, first, signal.SIGTERM, *border) == cli.DEADLINE
    assert not first.exists()
    assert "stopped by SIGTERM at step" in Path(f"{first}.log").read_text()
    assert train(data, first, *border) == cli.DONE
    assert model_folder.read_card(first)["step"] == 31
    assert interrupt(data, second, signal.SIGKILL, "--resume", first) == -signal.SIGKILL
    assert not second.exists()
    assert train(data, second, "--resume", first) == cli.DONE
    assert sorted(contents(whole)) == sorted(contents(second))
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= set(contents(whole))
    assert [n for n, content in contents(whole).items() if contents(second)[n] != content] == []
    assert contents(first)["model.safetensors"] != contents(second)["model.safetensors"]
    # Nothing is left of the progress once its output is there.
    assert list(Path(f"{second}-work").glob("checkpoint-*")) == []


def test_the_log_tells_the_whole_run_and_the_loss_falls(whole: Path) -> None:
    lines = files.read_jsonl(whole / "log.jsonl")
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(7, STEPS + 1, 7))
    assert all({"loss", "grad_norm", "learning_rate"} <= set(line) for line in steps)
    assert steps[-1]["loss"] < 0.3 * steps[0]["loss"]
    rates = [line["learning_rate"] for line in steps]
    assert rates[0] > 0.9 * 2e-3  # warmed up
    assert rates[-1] < 0.1 * 2e-3  # the schedule ends with the run, not with the segment
    assert [line["step"] for line in lines if "eval_loss" in line] == [STEPS]
    card = model_folder.read_card(whole)
    assert card["parameters"]["trainable"] == card["parameters"]["total"] == model_folder.count_parameters(whole)


def test_a_checkpoint_holds_no_path_and_no_time_of_this_machine(data: Path, whole: Path) -> None:
    text = "".join((whole / name).read_text() for name in ("suture.json", "log.jsonl", "trainer_state.json"))
    assert str(data) not in text
    assert "runtime" not in text
    assert "training_args.bin" not in contents(whole)


def test_workers_change_nothing(data: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "0", tmp_path / "2"]
    for out, workers in zip(outs, (0, 2), strict=True):
        assert train(data, out, "--until-step", 4, "--workers", workers) == cli.DONE
    assert contents(outs[0]) == contents(outs[1])


def test_a_deadline_leaves_progress_and_exit_75_until_the_segment_is_done(data: Path, tmp_path: Path) -> None:
    out, straight = tmp_path / "out", tmp_path / "straight"
    codes = []
    while not out.exists():
        assert len(codes) < 5
        codes.append(train(data, out, "--until-step", 3, "--deadline-seconds", 0.001))
    assert codes == [cli.DEADLINE, cli.DEADLINE, cli.DONE]  # one step each
    assert train(data, straight, "--until-step", 3) == cli.DONE
    assert contents(out) == contents(straight)


def test_after_a_refusal_only_a_new_run_tries_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="is not between 1 and"):
        train(data, out, "--until-step", STEPS + 1)
    with pytest.raises(SutureError, match="attempt 2 was not made"):
        train(data, out, "--until-step", 1, "--attempt", 2)
    assert train(data, out, "--until-step", 1, "--attempt", 1) == cli.DONE


def test_progress_of_another_run_is_not_continued(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert train(data, out, "--until-step", 3, "--deadline-seconds", 0.001) == cli.DEADLINE
    assert train(data, out, "--until-step", 3, "--seed", 7) == cli.DONE
    assert "is of another run" in capsys.readouterr().out
    assert train(data, fresh, "--until-step", 3, "--seed", 7) == cli.DONE
    assert contents(out) == contents(fresh)


def test_a_segment_of_another_run_is_refused(data: Path, whole: Path, tmp_path: Path) -> None:
    first = tmp_path / "1"
    assert train(data, first, "--until-step", 2) == cli.DONE
    with pytest.raises(InputError, match=r"learning_rate was 0.002 in the segment before, now it is 0.001"):
        train(data, tmp_path / "2", "--resume", first, "--learning-rate", 1e-3)
    with pytest.raises(InputError, match="at step 60 already"):
        train(data, tmp_path / "2", "--resume", whole)
    with pytest.raises(InputError, match="not a segment checkpoint"):
        train(data, tmp_path / "2", "--resume", data / "base")


def changed(data: Path, target: Path, turns: tuple[Turn, ...], clip: str | None = None) -> Path:
    samples: list[Sample] = records.read(data / "samples.jsonl", Sample)
    first = Sample(id="odd", case="c", clip=clip or samples[0].clip, phase="p", turns=turns)
    records.write(target, [*samples, first])
    return target


@pytest.mark.parametrize(
    ("turns", "clip", "message"),
    [
        ((Turn(question="?", answer="a", kind="k"),), "case_9_9", "'case_9_9' .sample 'odd'. are not in the cache"),
        ((Turn(question="?", answer="xyz " * 2000, kind="k"),), None, "'odd' has [0-9]+ tokens, the model takes 2048"),
        ((), None, "'odd' has no question"),
    ],
)
def test_a_sample_that_cannot_be_learnt_from_is_named(
    data: Path, tmp_path: Path, turns: tuple[Turn, ...], clip: str | None, message: str
) -> None:
    odd = changed(data, tmp_path / "odd.jsonl", turns, clip)
    with pytest.raises(InputError, match=message):
        train(data, tmp_path / "out", "--train", odd)
    assert not (tmp_path / "out").exists()


def test_samples_of_a_rejected_clip_are_left_out_and_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = files.read_jsonl(data / "shard-0.jsonl")
    bad = {**rows[-1], "n_frames": 0, "indices": [], "rejected": "truncated", "clip": "case_bad"}
    files.write_jsonl(tmp_path / "bad.jsonl", [bad])
    odd = changed(data, tmp_path / "odd.jsonl", (Turn(question="?", answer="a", kind="k"),), "case_bad")
    caches = ["--frames-cache", data / "shard-0.jsonl", tmp_path / "bad.jsonl"]
    assert train(data, tmp_path / "out", "--train", odd, "--until-step", 1, *caches) == cli.DONE
    assert "1 train samples left out, their clips were rejected by cache_frames: odd" in capsys.readouterr().out


def test_a_loss_that_is_no_number_fails_the_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SutureError, match=r"the loss is (nan|inf) at step"):
        train(data, tmp_path / "out", "--learning-rate", 1e30, "--max-grad-norm", 1e30, "--warmup-ratio", 0)
    assert not (tmp_path / "out").exists()


def test_bad_numbers_are_refused_before_anything_is_loaded(data: Path, tmp_path: Path) -> None:
    said = run_script("train", *arguments(data, tmp_path / "out", "--until-step", STEPS + 1), code=2)
    assert "--until-step 61 is not between 1 and --max-steps 60" in said
    assert "invalid choice" in run_script("train", *arguments(data, tmp_path / "out", "--family", "gwen"), code=2)


def test_the_base_model_is_the_same_in_every_process(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "3")
    run_script("fetch_weights", "--family", "qwen2_5_vl", "--model", "small", "--output", tmp_path / "again")
    assert contents(data / "base") == contents(tmp_path / "again")
    listed = files.read_json(tmp_path / "again" / "weights.json")
    assert listed["parameters"] == model_folder.count_parameters(tmp_path / "again")
    assert listed["files"]["model.safetensors"] == files.sha256_file(tmp_path / "again" / "model.safetensors")
    run_script(
        "fetch_weights", "--family", "qwen2_5_vl", "--model", tmp_path / "again", "--output", tmp_path / "linked"
    )
    assert files.read_json(tmp_path / "linked" / "weights.json") == {**listed, "source": "folder"}


@pytest.mark.parametrize(
    ("model", "revision", "message"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", None, "not pinned"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "main", "not pinned"),
        ("no/such/folder", None, "no folder and no hub id"),
        ("empty", None, "no \\*.safetensors file"),
    ],
)
def test_a_base_model_that_cannot_be_had_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, revision: str | None, message: str
) -> None:
    from suture.weights import fetch

    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, ConfigError), match=message):
        fetch("qwen2_5_vl", model, revision, tmp_path / "out")
    assert not (tmp_path / "out").exists()
