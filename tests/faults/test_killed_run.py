"""SIGKILL in the middle of cutting and of caching, then rerun: nothing shows that it happened."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import clone, snakemake

CONFIG = ["--configfile", "tests/dag/tiny.yaml"]
TARGETS = ["data", *(f"results/tiny/cache/frames/n4-56x56/shard-{shard}.jsonl" for shard in (0, 1))]


def manifests(where: Path) -> dict[str, str]:
    """The digest of every manifest, cache and clip of a run."""
    run = where / "results" / "tiny"
    kinds = [*run.glob("manifests/**/*.json*"), *run.glob("dataset/*.json*"), *run.glob("*.json")]
    kinds += [*run.glob("cache/**/*.*"), *run.glob("clips/**/*.mp4")]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kinds}


def kill_when(where: Path, seen: Callable[[Path], bool], *targets: str) -> None:
    """Starts a run and kills it with all its jobs as soon as something is seen in its folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *targets, *CONFIG],
        cwd=where,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not seen(where / "results" / "tiny"):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "what the test waits for never came"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    snakemake(where, *CONFIG, "--unlock")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    where = clone(tmp_path_factory.mktemp("undisturbed"))
    snakemake(where, *TARGETS, *CONFIG)
    return manifests(where)


def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    where = clone(tmp_path)
    # Cutting works in hidden temporary folders; a second case is waited for, so that one is finished.
    kill_when(where, lambda run: len(list(run.glob("logs/cut_videos/*.log"))) >= 2, *TARGETS)
    kill_when(where, lambda run: any(run.glob("logs/cache_frames/*/*.log")), *TARGETS)
    snakemake(where, *TARGETS, *CONFIG)
    found = manifests(where)
    assert len(found) > 90, "clips, caches and manifests were all looked at"
    assert found == undisturbed
    left = [path for path in (where / "results" / "tiny").rglob(".*tmp-*") if "work" not in path.parts]
    assert left == [], "no half-written file stays behind"
