"""Training with too little memory: refused before the first step with advice, and the advice works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cache_frames
from support import SCRIPTS
from suture.cli import BAD_INPUT, DONE
from suture.models import qwen2_5_vl
from toy_clips import make_toy

# The limit counts from what the process has when all libraries are loaded: how much that is depends on the machine.
COMMAND = """
import resource, sys
sys.path.insert(0, sys.argv.pop(1))
room, fails_after = int(sys.argv.pop(1)), int(sys.argv.pop(1))
import torch
import train
from suture import cli, libraries
libraries.prepare(threads=1)
from suture.training import loop
from suture.training.memory import STATUS, _kib

failed = []

class Failing(loop.Loop):
    def compute_loss(self, *args, **kwargs):
        loss = super().compute_loss(*args, **kwargs)
        if self.state.global_step == fails_after and not failed:
            failed.append(True)
            torch.empty(2**50)
        return loss

if room:
    limit = _kib(STATUS, "VmData") + room * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
if fails_after:
    loop.Loop = Failing
cli.run(train.main, train.parser())
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=8, frames=20)
    given = ["--clips", root / "clips.jsonl", "--clips-dir", root / "clips", "--frames", 20, "--size", 112, 112]
    out = ["--output", root / "shard.jsonl", "--array", root / "shard.npy"]
    cache_frames.main(cache_frames.parser().parse_args([str(word) for word in (*given, *out)]))
    qwen2_5_vl.build_small(root / "base")
    return root


def train(
    data: Path, out: Path, *, batch: int, accumulation: int, code: int, room: int = 0, fails_after: int = 0
) -> str:
    """Trains two steps with ``room`` MiB for all that comes after the libraries, 0 for as much as there is."""
    given = ["--family", "qwen2_5_vl", "--model", data / "base", "--train", data / "samples.jsonl", "--output", out]
    steps = ["--frames-cache", data / "shard.jsonl", "--max-steps", 2, "--precision", "fp32", "--no-use-qlora"]
    sizes = ["--batch-size", batch, "--gradient-accumulation-steps", accumulation, "--no-gradient-checkpointing"]
    words = [str(word) for word in (SCRIPTS, room, fails_after, *given, *steps, *sizes)]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def test_a_batch_that_does_not_fit_ends_with_one_that_does(data: Path, tmp_path: Path) -> None:
    said = train(data, tmp_path / "no", room=600, batch=64, accumulation=1, code=BAD_INPUT)
    assert "out of memory before the first step: batch_size 64 of up to" in said
    assert not (tmp_path / "no").exists()
    advised = re.findall(r"batch_size (\d+) with gradient_accumulation_steps (\d+) \(\S+ GiB, (\d+) samples", said)
    assert advised[0][2] == "64"  # the first keeps the samples of a step
    batch, accumulation, _ = advised[-1]
    assert 4 < int(batch) < 64
    said = train(data, tmp_path / "yes", room=600, batch=int(batch), accumulation=int(accumulation), code=DONE)
    assert f"longest batch: {batch} x " in said
    assert (tmp_path / "yes").is_dir()


def test_running_out_in_the_middle_gives_advice_too(data: Path, tmp_path: Path) -> None:
    said = train(data, tmp_path / "no", batch=2, accumulation=2, code=BAD_INPUT, fails_after=1)
    assert "longest batch: 2 x 224 tokens take" in said
    assert "out of memory after step 1: batch_size 2 of up to 224 tokens needs about" in said
    assert "batch_size 1 with gradient_accumulation_steps 4" in said
