"""Training by several processes on one node (torchrun, gloo): the same training, however many there are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import fetch_weights
from same_training import differences
from support import SCRIPTS, call, run_script
from suture import cli, files
from suture.records import Sample
from toy_clips import cache_arguments, make_toy

CLOSE = 1e-5
MAX_STEPS = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=7)
    run_script("cache_frames", *cache_arguments(root, root))
    # A classifier: one question a clip.
    samples = [Sample.from_json(row) for row in files.read_jsonl(root / "samples.jsonl")]
    files.write_jsonl(
        root / "classes.jsonl", [{**one.to_json(), "turns": [one.to_json()["turns"][1]]} for one in samples]
    )
    return root


def arguments(data: Path, out: Path, *more: object, family: str = "qwen2_5_vl") -> list[str]:
    """Seven samples, four a step: the ends of epochs lie inside steps, the last validation batch is not full."""
    base = data / family
    if not base.exists():
        call(fetch_weights, "--family", family, "--model", "small", "--output", base)
    samples = data / ("classes.jsonl" if family == "endofm" else "samples.jsonl")
    words = ["--family", family, "--model", base, "--train", samples, "--val", samples]
    words += ["--frames-cache", data / "shard-0.jsonl", "--output", out, "--work-dir", f"{out}-work"]
    words += ["--batch-size", 2, "--gradient-accumulation-steps", 2, "--learning-rate", 1e-3, "--precision", "fp32"]
    words += ["--save-steps", 3, "--logging-steps", 1, "--eval-steps", 4, "--no-gradient-checkpointing"]
    return [str(word) for word in [*words, "--max-steps", MAX_STEPS, *more]]


def train(data: Path, out: Path, *more: object, family: str = "qwen2_5_vl", code: int = 0) -> str:
    return run_script("train", *arguments(data, out, *more, family=family), code=code, timeout=300)


# Without dropout, which each process draws for itself: BLIP-2 and SurgViVQA have some of their own.
WAYS: dict[str, tuple[str, list[object]]] = {
    # --r: as torchrun's own flags begin.
    "full": ("qwen2_5_vl", ["--no-use-qlora", "--augment", "--shuffle-turns", "--r", 8]),
    "lora": ("qwen2_5_vl", ["--use-lora", "--lora-dropout", 0, "--group-by-length"]),
    "classifier": ("endofm", []),
    "qlora": ("qwen2_5_vl", ["--use-qlora", "--lora-dropout", 0]),
    **{family: (family, ["--no-use-qlora"]) for family in ("llava_next_video", "llava_med")},
}


@pytest.fixture(scope="module")
def alone(data: Path) -> Callable[[str], Path]:
    """The same training by one process, for each way."""

    def made(way: str) -> Path:
        out = data / f"alone-{way}"
        if not out.exists():
            family, options = WAYS[way]
            train(data, out, *options, family=family)
        return out

    return made


@pytest.mark.parametrize(
    ("way", "more"),
    [
        ("full", ["--processes", 2]),
        # Also on two nodes: tests/slurm/test_nodes.py.
        pytest.param("full", ["--processes", 2, "--fsdp"], marks=pytest.mark.long),
        pytest.param("lora", ["--processes", 2], marks=pytest.mark.long),
        pytest.param("classifier", ["--processes", 4], marks=pytest.mark.long),
        *(
            pytest.param(way, ["--processes", 2], marks=pytest.mark.long)
            for way in ("qlora", "llava_next_video", "llava_med")
        ),
    ],
)
def test_several_processes_train_as_one_does(
    data: Path, alone: Callable[[str], Path], tmp_path: Path, way: str, more: list[object]
) -> None:
    """Weights, losses, gradient norms and validation losses of each step, within what another order of sums makes."""
    family, options = WAYS[way]
    said = train(data, tmp_path / "out", *options, *more, family=family)
    assert f"4 samples a step = {more[1]} processes x" in said
    found = differences(alone(way), tmp_path / "out")
    assert {name for name in found if name.startswith("eval_loss")} == {"eval_loss of step 4", "eval_loss of step 8"}
    assert max(found.values()) < CLOSE, found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["--processes", 2, "--fsdp"], []),
        pytest.param([], ["--processes", 2, "--fsdp"], marks=pytest.mark.long),
        pytest.param(["--processes", 2], [], marks=pytest.mark.long),
        pytest.param(["--processes", 2, "--fsdp"], ["--processes", 2], marks=pytest.mark.long),
    ],
)
def test_a_checkpoint_goes_on_in_another_number_of_processes(
    data: Path, alone: Callable[[str], Path], tmp_path: Path, before: list[object], after: list[object]
) -> None:
    options = WAYS["full"][1]
    train(data, tmp_path / "first", *options, *before, "--until-step", 4)
    said = train(data, tmp_path / "last", *options, *after, "--resume", tmp_path / "first")
    changed = len(before) != len(after) and not (before and after)
    assert ("the checkpoint is of another number of processes" in said) == changed
    found = differences(alone("full"), tmp_path / "last")
    assert max(found.values()) < CLOSE, found


@pytest.mark.long
def test_dropout_differs_between_processes_and_goes_on_exactly(data: Path, tmp_path: Path) -> None:
    """In segments of the same number of processes: to the bit."""
    options = ["--use-lora", "--lora-dropout", 0.3, "--processes", 2]
    train(data, tmp_path / "whole", *options)
    train(data, tmp_path / "first", *options, "--until-step", 4)
    train(data, tmp_path / "last", *options, "--resume", tmp_path / "first")
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth"} < names
    differing = [
        n for n in sorted(names) if (tmp_path / "whole" / n).read_bytes() != (tmp_path / "last" / n).read_bytes()
    ]
    assert differing == []
    states = [(tmp_path / "whole" / f"rng_state_{rank}.pth").read_bytes() for rank in (0, 1)]
    assert states[0] != states[1]


def test_a_step_that_cannot_be_dealt_evenly_is_refused(data: Path, tmp_path: Path) -> None:
    said = train(data, tmp_path / "out", *WAYS["full"][1], "--processes", 3, code=cli.BAD_INPUT)
    assert "4 samples a step (2 a batch, 2 batches) cannot be dealt evenly to 3 processes" in said
    assert said.count("error:") == 1


def workers(parent: int) -> list[psutil.Process]:
    """The processes that train, once they have begun."""
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.Error):  # it has just ended
            if "train.py" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.long
def test_stopped_by_a_signal_all_save_at_one_step_and_the_job_goes_on(
    data: Path, alone: Callable[[str], Path], tmp_path: Path
) -> None:
    """SIGTERM to the one that was started; then one of the processes is killed, which ends all with its reason."""
    options, out = WAYS["full"][1], tmp_path / "out"
    work = Path(f"{out}-work")

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPTS / "train.py"), *arguments(data, out, *options, "--processes", 2)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    with start() as process:
        while len(workers(process.pid)) < 2:
            assert process.poll() is None, process.communicate()[0]
        # Before their first step: each takes the signal as soon as it listens.
        while not (work / "heartbeat.json").is_file():
            assert process.poll() is None, process.communicate()[0]
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == cli.DEADLINE, said
    assert "stopped by SIGTERM at step 1 of 8" in said
    with start() as process:
        while len(workers(process.pid)) < 2:
            assert process.poll() is None, process.communicate()[0]
        os.kill(workers(process.pid)[1].pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "of 2 was ended by SIGKILL" in said
    said = train(data, out, *options, "--processes", 2)
    assert "continuing an interrupted job at step 1" in said
    assert max(differences(alone("full"), out).values()) < CLOSE
