"""Where caches lie: another disk, the node's own, and whether they fit."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from support import SCRIPTS, run_script
from suture import cache_room, caches, node_local
from suture.config.load import resolve
from suture.errors import InputError


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert caches.expanded("$SCRATCH/suture", "storage.cache") == Path("/scratch/me/suture")
    with pytest.raises(InputError, match="NOWHERE, which is not set"):
        caches.expanded("${NOWHERE}/suture", "storage.cache")
    with pytest.raises(InputError, match="not an absolute path"):
        caches.expanded("scratch", "storage.cache")


def test_runs_of_two_copies_do_not_share_a_cache(tmp_path: Path) -> None:
    first, second = (caches.place(tmp_path / copy / "results/demo", str(tmp_path / "s")) for copy in "ab")
    assert first and second and first != second and first.name.startswith("demo-")
    assert caches.place(tmp_path / "results/demo", None) is None


def test_a_link_whose_target_was_purged_is_mended(tmp_path: Path) -> None:
    run = tmp_path / "results/demo"
    target = caches.place(run, str(tmp_path / "scratch"))
    for _ in range(2):
        caches.check(run, target)
        caches.link(run, target)
        assert (run / "cache").is_dir() and (run / "cache").readlink() == target
        assert target
        target.rmdir()
        target.parent.rmdir()
    elsewhere = caches.place(run, str(tmp_path / "other"))
    with pytest.raises(InputError, match="cache says"):
        caches.check(run, elsewhere)


def test_clean_cache_takes_what_suture_made_and_nothing_else(tmp_path: Path) -> None:
    made = ["shard-0.jsonl", "shard-0.npy", "shard-0.rejected.jsonl", ".shard-12.npy.tmp-77.npy"]
    others = ["notes.txt", "shard-0.npy.bak", "my-shard-0.npy"]
    for run in ("one", "two"):
        folder = tmp_path / f"results/{run}/cache/frames/n8-56x56"
        folder.mkdir(parents=True)
        for name in made + (others if run == "two" else []):
            (folder / name).write_text("x")
    outside = tmp_path / "results/one/cache/shard-0.npy"
    outside.write_text("not in a folder of frames")
    said = run_script("clean_cache", "--results", tmp_path / "results")
    assert "8 files deleted" in said and "notes.txt" in said
    left = {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert left == {*others, outside.name}


READ = """
import sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from suture import node_local
node_local.KEPT_FREE = 0  # however full the disk of whoever runs this test is
{want}
path = node_local.near(Path({path!r}))
print(path)
print(path.read_bytes()[:5])
"""


def near(path: Path, folder: str, *, want: str = "node_local.want()", **more: str) -> subprocess.CompletedProcess[str]:
    code = READ.format(scripts=str(SCRIPTS), path=str(path), want=want)
    environment = os.environ | {node_local.ASKED: folder} | more
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)


@pytest.fixture
def array(tmp_path: Path) -> Path:
    path = tmp_path / "shared" / "shard-0.npy"
    path.parent.mkdir()
    path.write_bytes(b"frame" * 1000)
    return path


def test_a_job_reads_from_the_nodes_disk_and_leaves_nothing_there(tmp_path: Path, array: Path) -> None:
    done = near(array, "$MY_NODE", MY_NODE=str(tmp_path / "node"))
    copy = Path(done.stdout.split("\n")[0])
    assert copy.is_relative_to(tmp_path / "node") and "b'frame'" in done.stdout and "copied to" in done.stderr
    assert not copy.exists() and not list((tmp_path / "node").rglob("*.npy"))
    assert str(array) in near(array, str(tmp_path / "node"), want="").stdout, "one who reads once needs no copy"
    unset = near(array, "$NOT_SET_HERE")
    assert unset.returncode != 0 and "NOT_SET_HERE, which is not set" in unset.stderr


def test_a_copy_that_does_not_fit_or_does_not_match_is_not_used(
    tmp_path: Path, array: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(node_local.ASKED, str(tmp_path / "node"))
    monkeypatch.setattr(node_local, "_wanted", True)
    disk = namedtuple("disk", "total used free")
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: disk(100_000, 95_500, 4_500))
        assert node_local.near(array) == array
    assert "do not fit" in capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk(100_000, 50_000, 50_000))
    with monkeypatch.context() as broken:
        broken.setattr("suture.files.sha256_file", lambda _: hashlib.sha256(b"other").hexdigest())
        assert node_local.near(array) == array
    assert "not what was written" in capsys.readouterr().err
    copy = node_local.near(array)
    assert copy != array and copy.read_bytes() == array.read_bytes()
    assert node_local.near(array) == copy, "copied once"
    array.write_bytes(b"other" * 1000)
    os.utime(array, (1, 1))
    assert node_local.near(array) != copy, "another array has another copy"


def config(tmp_path: Path, **more: object) -> cache_room.Config:
    experiment = {"family": "qwen2_5_vl", "model": "small", "frames": {"count": 4, "height": 56, "width": 56}}
    raw = {"run": "r", "dataset": "cataract1k", "annotations": str(tmp_path), "videos": str(tmp_path), "shards": 2}
    train = {"max_steps": 2, "steps_per_job": 2}
    return resolve({**raw, "experiments": {"one": {**experiment, "train": train}}, **more})


def test_the_plan_counts_caches_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "r"
    assert cache_room.of(config(tmp_path), run).to_come is None, "no clip is cut yet"
    (run / "manifests").mkdir(parents=True)
    (run / "manifests/clips.jsonl").write_text("{}\n" * 10)
    (run / "cache/frames/n4-56x56").mkdir(parents=True)
    (run / "cache/frames/n4-56x56/shard-0.npy").write_bytes(bytes(6_320))
    room = cache_room.of(config(tmp_path), run)
    assert (room.there, room.files_there) == (6_320, 1)
    assert room.to_come == 10 * 4 * 56 * 56 * 3 - 6_320 and room.files_to_come == 2 * 3 - 1
    assert room.problem is None and "6.32e-06 GB in 1 files there" in room.words
    elsewhere = cache_room.of(config(tmp_path, storage={"cache": str(tmp_path / "scratch")}), run)
    assert elsewhere.place.parent == tmp_path / "scratch" and elsewhere.there == 0
    monkeypatch.setattr(caches, "free", lambda _: (370_000, 4))
    assert "has room for 4" in str(cache_room.of(config(tmp_path), run).problem)
    monkeypatch.setattr(caches, "free", lambda _: (360_000, None))
    assert "still take" in str(cache_room.of(config(tmp_path), run).problem)
