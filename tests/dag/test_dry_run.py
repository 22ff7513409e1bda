"""The DAG can be inspected in a fresh clone: no data, no SLURM, no conda, no results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import chest_files
from fetal_sheets import ANSWERS, merged
from support import ROOT, clone, planned, snakemake
from suture.config import categories

CONFIGS = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("config/*.yaml"), *ROOT.glob("config/demo/*.yaml")])


FETAL = ["Femur", "Aorta"]
"""Categories of the sheets that stand for FADA's, which cannot be shipped."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("fresh"))


def test_the_dry_run_of_the_demo_shows_every_stage(fresh: Path) -> None:
    jobs = planned(snakemake(fresh, "-n"))
    config = yaml.safe_load((fresh / "config.yaml").read_text())
    assert jobs["draw_case"] == jobs["cut_videos"] == len(config["cases"])
    # The model, the blind one that it is compared with, and the adapters that start from it.
    one, two = (config["experiments"][name]["train"] for name in ("qwen-small", "qwen-small-lora"))
    assert jobs["train_segment"] == sum(-(-a["max_steps"] // a["steps_per_job"]) for a in (one, one, two))
    assert jobs["predict"] == 7, "itself, blind, shuffled, zero-shot; itself, shuffled, zero-shot"
    assert {"describe_objects", "generate_qa", "split_dataset", "organize_videos", "cache_frames", "predict"} <= set(
        jobs
    )
    assert not (fresh / "results").exists(), "a dry run makes nothing"


def test_seeds_and_folds_multiply_the_jobs(fresh: Path) -> None:
    config = yaml.safe_load((fresh / "tests/dag/tiny.yaml").read_text())
    config["split"] = {"folds": 3, "fold": 0}
    config["experiments"]["one"] |= {"seeds": [1, 2], "folds": [0, 2], "baselines": ["blind", "shuffled"]}
    del config["experiments"]["two"], config["experiments"]["three"]
    (fresh / "repeated.yaml").write_text(yaml.safe_dump(config))
    jobs = planned(snakemake(fresh, "-n", "evaluate", "--configfile", "repeated.yaml"))
    # Four runs and a blind model of each, in two segments; each run also with shuffled videos.
    assert (jobs["train_segment"], jobs["predict"], jobs["score"]) == (4 * 2 * 2, 4 * 3, 4)
    assert jobs["split_fold"] == 2 and "split_dataset" not in jobs


def test_the_slurm_profile_plans_the_same_jobs(fresh: Path) -> None:
    assert planned(snakemake(fresh, "--profile", "slurm", "-n")) == planned(snakemake(fresh, "-n"))


@pytest.mark.parametrize(
    ("target", "there", "absent"),
    [
        ("data", "organize_videos", "train_segment"),
        ("train", "export_model", "predict"),
        ("evaluate", "merge_metrics", "report"),
        ("report", "report", "organize_videos"),
    ],
)
def test_targets(fresh: Path, target: str, there: str, absent: str) -> None:
    jobs = planned(snakemake(fresh, "-n", target))
    assert there in jobs and absent not in jobs


def test_the_rulegraph_is_drawn_without_graphviz(fresh: Path) -> None:
    graph = snakemake(fresh, "--rulegraph", "mermaid-js")
    assert "flowchart" in graph and "train_segment" in graph


def test_lint_is_clean(fresh: Path) -> None:
    assert "good condition" in snakemake(fresh, "--lint")


def make_downstream(where: Path) -> None:
    """Lays out what config/endofm.yaml names: the published folders and a checkpoint, all empty."""
    for dataset in ("balanced-dataset", "bagls-split:v0"):
        for split in ("train", "val", "test"):
            path = where / "data/downstream" / dataset / "splits" / f"{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{split}_a.mp4,0\n{split}_b.mp4,1\n")
    (where / "checkpoints").mkdir(exist_ok=True)
    (where / "checkpoints/endo_fm.pth").touch()


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_config_file_runs_its_own_experiments_and_no_others(fresh: Path, cataract1k: Path, config: Path) -> None:
    """Snakemake merges config files; the demo's experiments must not join those of another run."""
    raw = yaml.safe_load((fresh / config).read_text())
    override: list[object] = []
    annotations, videos = cataract1k, cataract1k
    if raw["dataset"] == "fetal_ultrasound":
        annotations = videos = fresh / "sheets"
        merged(annotations / "all.xlsx", [(name, f"{n}.png", ANSWERS) for name in FETAL for n in range(5)])
    if raw["dataset"] == "mimic_cxr" and "draw" not in raw:
        annotations = videos = chest_files.write(fresh / "mimic", ["a,1,1,CHEST,PA,1,1"], {})
    if raw["dataset"] == "conversations":
        annotations = videos = fresh / "llava"
        annotations.mkdir(exist_ok=True)
        talk = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "It."}]
        (annotations / "report.json").write_text(json.dumps([{"image": "1-1.png", "conversations": talk}]))
    if raw["dataset"] == "ssgvqa":
        annotations = videos = fresh / "questions"
        for video in ("VID04", "VID01", "VID02"):
            (annotations / video).mkdir(parents=True, exist_ok=True)
            (annotations / video / "1.txt").write_text("Which?|liver\nWhich tools?|hook\nWhat is it?|liver\n")
    if raw["dataset"] == "balanced":
        make_downstream(fresh)
    elif raw.get("draw", {}).get("kind", "annotations") == "annotations":
        override = ["--config", f"annotations={annotations}"]
        if "draw" not in raw:
            override.append(f"videos={videos}")
    raw = categories.expand({**raw, "annotations": str(annotations), "videos": str(videos)} if override else raw)
    printed = snakemake(fresh, "-n", "train", "--configfile", config, *override)
    for name, experiment in raw["experiments"].items():
        assert f"Exporting the model of {name}\n" in printed
        assert f"Training {name} to step {experiment['train']['max_steps']}\n" in printed
    assert printed.count("Exporting the model of") == len(raw["experiments"])


def test_a_mistyped_key_stops_the_run_with_the_right_one(fresh: Path) -> None:
    printed = snakemake(fresh, "-n", "--config", "shard=4", code=1)
    assert "shard is not a key; did you mean  shards: ?" in printed
    assert "Traceback" not in printed


def test_an_unknown_dataset_names_those_that_are_there(fresh: Path) -> None:
    printed = snakemake(fresh, "-n", "--config", "dataset=cataract1", code=1)
    assert "unknown dataset adapter 'cataract1'; did you mean 'cataract1k'?" in printed


def test_each_category_is_in_one_dag_and_can_be_asked_for_alone(fresh: Path) -> None:
    """FADA's quick run: five images and one epoch, a model for each category and one over all."""
    config = ["--configfile", "config/demo/fada.yaml"]
    jobs = planned(snakemake(fresh, "-n", *config))
    assert jobs["draw_ultrasound"] == 1 and jobs["copy_stills"] == 2 and "cut_videos" not in jobs
    assert jobs["summarise_training"] == jobs["select_samples"] == 3
    assert jobs["predict"] == 6, "each category; the joint model itself, blind, zero-shot"
    alone = snakemake(fresh, "-n", "results/demo-fada/outputs/Femur/training_summary.json", *config)
    assert "Training Femur to step" in alone and "Training Thorax" not in alone
    quick = snakemake(fresh, "-n", "train", *config, "--config", "num_images=5", "num_epochs=1", "batch_size=1")
    # 5 images x 0.55 (one of them is kept to validate), all questions about one in one sample
    assert "Training Femur to step 3\n" in quick and "Training joint to step 9\n" in quick
