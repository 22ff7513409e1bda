"""Only stale work reruns: the whole DAG is run once, then edited, and Snakemake is asked what it would do."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from support import clone, planned, run_script, snakemake
from suture import files, records
from suture.records import Sample

CONFIG = "tests/dag/tiny.yaml"
ALWAYS_AFTER_DATA = {"train_segment", "export_model", "predict", "score", "merge_metrics", "report", "all"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the tiny run has been made."""
    where = clone(tmp_path_factory.mktemp("finished"))
    snakemake(where, "--configfile", CONFIG)
    return where


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, times kept, that a test may edit."""
    copy = tmp_path / "run"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def plan(run: Path, *args: object) -> dict[str, int]:
    return planned(snakemake(run, "-n", "--configfile", CONFIG, *args))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def test_a_second_run_does_nothing(run: Path) -> None:
    assert plan(run) == {}


def test_one_edited_case_reruns_its_own_jobs_and_what_depends_on_them(run: Path) -> None:
    csv = next((run / "results/tiny/source/annotations/phase_annotations/case_9101").glob("*_phases.csv"))
    rows = csv.read_text().splitlines()
    csv.write_text("\n".join(rows[:-1]) + "\n")
    jobs = plan(run)
    assert jobs["cut_videos"] == 1, "the other cases are not cut again"
    assert jobs["describe_objects"] == jobs["generate_qa"] == jobs["cache_frames"] == 1, "the other shard stays"
    assert set(jobs) >= ALWAYS_AFTER_DATA
    assert "draw_case" not in jobs and "fetch_weights" not in jobs


def test_an_edit_of_library_code_reruns_the_stages_that_import_it(run: Path) -> None:
    with (run / "workflow/scripts/suture/splitting.py").open("a") as module:
        module.write("\nADDED = 1\n")
    jobs = plan(run)
    assert {"split_dataset", "train_segment", "organize_videos"} <= set(jobs)
    assert not {"cut_videos", "cache_frames", "generate_qa", "fetch_weights"} & set(jobs)


def test_a_comment_in_library_code_reruns_nothing(run: Path) -> None:
    with (run / "workflow/scripts/suture/splitting.py").open("a") as module:
        module.write("\n# a remark\n")
    assert plan(run) == {}


def test_one_experiments_learning_rate_reruns_that_experiment_from_training_on(run: Path) -> None:
    edit(run / CONFIG, "learning_rate: 0.001", "learning_rate: 0.002")
    jobs = plan(run)
    assert jobs["train_segment"] == 2 and jobs["export_model"] == jobs["predict"] == jobs["score"] == 1
    assert not {"split_dataset", "cache_frames", "cut_videos"} & set(jobs)


def test_what_starts_from_an_experiment_is_stale_with_it(run: Path) -> None:
    edit(run / CONFIG, "learning_rate: 0.003", "learning_rate: 0.004")
    jobs = plan(run)
    assert jobs["train_segment"] == 3 and jobs["export_model"] == 2, "one in two jobs, and three, which starts from it"


@pytest.mark.parametrize(
    "name",
    [
        "source/videos/case_9101.mp4",
        "source/annotations/phase_annotations/case_9101/case_9101_annotations_phases.csv",
        "manifests/samples.jsonl",
    ],
)
def test_a_touched_file_reruns_nothing(run: Path, name: str) -> None:
    os.utime(run / "results/tiny" / name)
    assert plan(run) == {}


def test_deleted_clips_and_frames_come_back_when_a_job_needs_them(run: Path) -> None:
    shutil.rmtree(run / "results/tiny/clips/case_9101")
    shutil.rmtree(run / "results/tiny/cache")
    edit(run / CONFIG, "max_new_tokens: 8", "max_new_tokens: 9")
    jobs = plan(run)
    assert jobs["predict"] == 4 and jobs["cache_frames"] == 2, "one, its base model, two, three"
    assert jobs["cut_videos"] == 1, "the other cases' clips are there"


def test_a_purged_cache_is_brought_back_and_what_was_trained_of_it_stays(run: Path) -> None:
    """A scratch disk's rules delete some shards."""
    cache = run / "results/tiny/cache"
    before = digests(cache)
    (cache / "frames/n4-56x56/shard-1.npy").unlink()
    (cache / "features/llava_next_video.small/n4-56x56/fp32/shard-0.npy").unlink()
    assert plan(run) == {}, "nothing needs it"
    edit(run / CONFIG, "max_new_tokens: 8", "max_new_tokens: 9")

    # Snakemake cannot know that it will be the same, and would train: the run makes the cache first, then begins again.
    dry = snakemake(run, "-n", "--configfile", CONFIG)
    assert "The cache of 2 shards is gone" in dry and "would be made anew: predict 1, train_segment 5" in dry
    wanted = "results/tiny/predictions/one.jsonl"
    models = digests(run / "results/tiny/models") | digests(run / "results/tiny/train")
    made = snakemake(run, "--configfile", CONFIG, "--until", "predict", "--", wanted)
    assert "The cache is made first, by a run of its own" in made
    assert re.findall(r"\(Rule: (\w+)\)", made) == ["cache_frames", "predict"]
    assert digests(run / "results/tiny/models") | digests(run / "results/tiny/train") == models
    assert plan(run, "--", wanted) == {}
    cached = digests(cache)
    assert cached.items() <= before.items() and len(cached) == len(before) - 1, "features that nothing asked for"


@pytest.mark.long
def test_a_cache_on_another_disk_is_made_there_to_the_byte(run: Path, tmp_path: Path) -> None:
    cache = run / "results/tiny/cache"
    before = digests(cache)
    edit(run / CONFIG, "max_new_tokens: 8", "max_new_tokens: 9")
    edit(run / CONFIG, "shards: 2", "shards: 2\nstorage: {cache: $TINY_SCRATCH/suture}")
    assert "TINY_SCRATCH, which is not set" in snakemake(run, "-n", "--configfile", CONFIG, code=1)
    scratch = tmp_path / "scratch"
    edit(run / CONFIG, "$TINY_SCRATCH", str(scratch))
    assert "lie in results/tiny/cache, storage.cache says" in snakemake(run, "-n", "--configfile", CONFIG, code=1)
    (cache / "frames/mine.txt").write_text("not ours")
    said = run_script("clean_cache", "--results", run / "results")
    assert "10 files deleted" in said and "mine.txt" in said and cache.is_dir()
    (cache / "frames/mine.txt").unlink()
    assert "0 files deleted" in run_script("clean_cache", "--results", run / "results") and not cache.exists()
    snakemake(run, "--configfile", CONFIG, "--", "cache")
    assert cache.is_symlink() and cache.resolve().is_relative_to(scratch)
    assert digests(cache) == before, "to the byte"
    jobs = plan(run)
    assert jobs["predict"] == 3 and not {"train_segment", "export_model", "cache_frames", "check_leaks"} & set(jobs)
    assert "10 files deleted" in run_script("clean_cache", "--results", run / "results")
    assert not cache.is_symlink() and not list(scratch.rglob("*.npy"))


def digests(folder: Path) -> dict[str, str]:
    """The files of a cache, and their checksums."""
    found = [path for path in folder.rglob("*.*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): files.sha256_file(path) for path in sorted(found)}


def test_an_experiment_of_some_cases_learns_and_is_asked_of_these_alone(finished: Path) -> None:
    results = finished / "results/tiny"
    for name in ("train", "val", "test"):
        every = records.read(results / f"manifests/split/{name}.jsonl", Sample)
        mine = records.read(results / f"manifests/experiments/three/{name}.jsonl", Sample)
        assert mine == [sample for sample in every if sample.case != "case_9106"]
    asked = {row["case"] for row in files.read_jsonl(results / "predictions/three.jsonl")}
    assert asked == {sample.case for sample in mine}


def test_a_run_starts_from_the_model_that_it_names(finished: Path) -> None:
    """What its adapters leave as it is, is the other experiment's and not the random model's."""
    models = finished / "results/tiny/models"
    random, one, three = (
        load_file(models / name / "model.safetensors") for name in ("base/qwen2_5_vl.small", "one", "three")
    )
    kept = [name for name in one if torch.equal(one[name], three[name])]
    assert set(one) - set(kept) and all("proj" in name for name in set(one) - set(kept)), "adapters changed something"
    assert not any(torch.equal(random[name], three[name]) for name in kept if "norm" not in name and "bias" not in name)


def test_the_edited_run_ends_where_a_fresh_one_would(run: Path) -> None:
    """Rerunning only what is stale gives the same bytes as running everything."""
    kept = {path: path.stat().st_mtime_ns for path in (run / "results/tiny/clips").glob("*/*.mp4")}
    edit(run / CONFIG, "fractions: [0.5, 0.17, 0.33]", "fractions: [0.34, 0.33, 0.33]")
    snakemake(run, "data", "--configfile", CONFIG)
    split = (run / "results/tiny/manifests/split/split.json").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    snakemake(run, "data", "--forcerun", "cut_videos", "--configfile", CONFIG)
    assert (run / "results/tiny/manifests/split/split.json").read_bytes() == split
