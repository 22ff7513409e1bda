"""FADA's way by its commands: drawn images in the published spreadsheets, BLIP-2 with adapters, answers, scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cache_features
import cache_frames
import cut_videos
import draw_ultrasound
import export_model
import fetch_weights
import ingest
import predict
import score
import split_dataset
import summarise_training
import train as train_command
from support import call
from suture import files
from suture.drawing import scans, ultrasound
from suture.errors import InputError
from suture.leaks import ALIKE
from suture.perceptual_hash import hashes, likeness

CASES = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of eight images, drawn, ingested, split and cached, and a small base."""
    where = tmp_path_factory.mktemp("fada")
    labels, images = where / "labels", where / "images"
    drawn = ["--images", CASES, "--size", 56, "--annotations", labels, "--output", images]
    call(draw_ultrasound, "--categories", "Abdomen", "Femur", *drawn)
    adapter = ["--adapter", "fetal_ultrasound"]
    clips = ["--clips-dir", where / "clips", "--within", "shard-0", "--output", where / "clips.jsonl"]
    call(cut_videos, *adapter, "--annotations", labels, "--videos", images, *clips)
    source = ["--root", labels, "--videos", images, "--clips", where / "clips.jsonl", "--questions", "apart"]
    outputs = ["--output", where / "samples.jsonl", "--rejected", where / "rejected.jsonl"]
    call(ingest, *adapter, *source, *outputs)
    split = ["--samples", where / "samples.jsonl", "--clips", where / "clips.jsonl", "--output-dir", where / "split"]
    call(split_dataset, *split, "--fractions", 0.5, 0.25, 0.25)
    size = ["--frames", 1, "--size", 56, 56]
    cache = ["--output", where / "shard-0.jsonl", "--array", where / "shard-0.npy"]
    source = ["--clips", where / "clips.jsonl", "--clips-dir", where / "clips", "--samples", where / "samples.jsonl"]
    call(cache_frames, *source, *size, *cache, "--rejected", where / "frames.rejected.jsonl")
    call(fetch_weights, "--family", "blip2", "--model", "small", "--output", where / "base")
    features = ["--output", where / "features.jsonl", "--array", where / "features.npy", "--dtype", "fp32"]
    call(
        cache_features,
        *["--family", "blip2", "--model", where / "base", "--frames-cache", where / "shard-0.jsonl", *features],
        *["--weights", "fp32", "--attention", "sdpa"],
    )
    return where


@pytest.fixture(scope="module")
def trained(root: Path) -> Path:
    """Three steps of adapters on cached features, exported beside their base and merged."""
    inputs = ["--model", root / "base", "--train", root / "split/train.jsonl", "--val", root / "split/val.jsonl"]
    cached = ["--frames-cache", root / "shard-0.jsonl", "--features-cache", root / "features.jsonl"]
    options = [
        "--use-lora",
        "--max-steps",
        3,
        "--batch-size",
        4,
        "--precision",
        "fp32",
        "--frames",
        1,
        "--logging-steps",
        1,
    ]
    named = ["--experiment", "both", "--segment", 1, "--ledger", root / "ledger.jsonl"]
    written = ["--output", root / "segment-1", "--work-dir", root / "work"]
    call(train_command, "--family", "blip2", *inputs, *cached, *options, *named, *written)
    for name, more in (("apart", ["--no-merge"]), ("merged", [])):
        made = ["--checkpoint", root / "segment-1", "--base", root / "base", "--output", root / name]
        call(export_model, *made, *more)
    return root


def predicted(root: Path, *model: object) -> list[dict[str, Any]]:
    out = root / "predictions.jsonl"
    asked = ["--samples", root / "split/test.jsonl", "--frames-cache", root / "shard-0.jsonl"]
    call(predict, "--model", *model, *asked, "--max-new-tokens", 6, "--output", out)
    rows: list[dict[str, Any]] = files.read_jsonl(out)
    return rows


def test_each_question_about_an_image_is_a_sample(root: Path) -> None:
    samples = files.read_jsonl(root / "samples.jsonl")
    assert len(samples) == 2 * CASES * 8 - 1  # one answer is missing from the drawn sheets
    one = next(sample for sample in samples if sample["id"].endswith("Abodomen_001.plane"))
    assert one["case"] == "Abdomen_001" and [turn["kind"] for turn in one["turns"]] == ["plane"]
    assert one["turns"][0]["answer"] == scans.plan("Abdomen", 1, 7).answers[2]
    clip = next(row for row in files.read_jsonl(root / "clips.jsonl") if row["id"] == one["clip"])
    assert clip["path"].startswith("shard-0/Abdomen_001/") and (root / "clips" / clip["path"]).is_file()
    reasons = sorted(row["reason"] for row in files.read_jsonl(root / "rejected.jsonl"))
    assert reasons == ["awaiting_labels", "duplicate_image", "empty_answer", "misspelt_category"]


def test_no_image_is_on_two_sides_of_the_split(root: Path) -> None:
    sides = [
        {row["case"] for row in files.read_jsonl(root / f"split/{name}.jsonl")} for name in ("train", "val", "test")
    ]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 2 * CASES
    assert all({case.split("_")[0] for case in side} == {"Abdomen", "Femur"} for side in sides)


def test_drawing_is_a_function_of_its_arguments(root: Path, tmp_path: Path) -> None:
    drawn = ["--images", CASES, "--size", 56, "--annotations", tmp_path / "labels", "--output", tmp_path / "images"]
    call(draw_ultrasound, "--categories", "Abdomen", "Femur", *drawn)
    for folder in ("labels", "images"):
        names = sorted(path.relative_to(root) for path in (root / folder).rglob("*.*"))
        assert names == sorted(path.relative_to(tmp_path) for path in (tmp_path / folder).rglob("*.*"))
        assert [n for n in names if (root / n).read_bytes() != (tmp_path / n).read_bytes()] == []
    with pytest.raises(InputError, match=r"cannot draw 'Kidney'.*\n.*Abdomen"):
        call(draw_ultrasound, "--categories", "Kidney", *drawn)


def test_images_of_equal_facts_are_no_leak() -> None:
    """What the gate between splitting and training compares: two pictures of one scan would stop the demo."""
    drawn = [ultrasound.draw(scans.plan("Femur", number, 7), number, 7, 56) for number in range(1, 81)]
    frames = np.repeat(np.stack(drawn)[..., None], 3, axis=-1)
    facts = [scans.plan("Femur", number, 7) for number in range(1, 81)]
    assert len(set(facts)) < len(facts)
    near = np.bitwise_count(hashes(frames).bits[:, None] ^ hashes(frames).bits[None]) <= 4
    assert np.flatnonzero(np.triu(near & (likeness(frames, frames) >= ALIKE), 1)).size == 0


def test_adapters_beside_their_base_answer_as_the_merged_model(trained: Path) -> None:
    apart = trained / "apart"
    assert not list(apart.glob("model*.safetensors")) and not (apart / "config.json").exists()
    assert sum(path.stat().st_size for path in apart.glob("adapter_*")) < 100_000
    assert predicted(trained, trained / "base", "--adapter", apart) == predicted(trained, trained / "merged")


def test_an_answer_about_one_image_is_printed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = trained / "images/Femur/Femur_001.png"
    asked = ["--media", image, "--question", "Image Quality: Assess it.", "--size", 56, 56, "--frames", 1]
    call(predict, "--model", trained / "merged", *asked, "--settings", "published", "--max-new-tokens", 6)
    assert len(capsys.readouterr().out.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["apart", "merged"])
def test_the_summary_has_the_published_keys_and_more(trained: Path, tmp_path: Path, name: str) -> None:
    splits = [part for s in ("train", "val", "test") for part in (f"--{s}", trained / f"split/{s}.jsonl")]
    made = ["--output-model", tmp_path / "final_model", "--output", tmp_path / "training_summary.json"]
    source = ["--model", trained / name, "--checkpoint", trained / "segment-1", "--ledger", trained / "ledger.jsonl"]
    call(summarise_training, "--experiment", "both", "--base-name", "small", *source, *splits, *made)
    found = files.read_json(tmp_path / "training_summary.json")
    samples = "num_images train_samples val_samples test_samples"
    published = f"model category {samples} epochs training_time_min final_loss output_dir"
    assert [found.get(key) for key in published.split()].count(None) == 0
    assert found["num_images"] == 2 * CASES and found["model"] == "small" and found["category"] == "both"
    assert found["epochs"] == pytest.approx(3 * 4 / found["train_samples"], abs=1e-3)
    logged = files.read_jsonl(trained / "segment-1/log.jsonl")
    assert found["final_loss"] == [line["loss"] for line in logged if "loss" in line][-1]
    assert found["jobs"]["jobs"] == 1 and found["training_time_min"] > 0
    names = {path.name for path in (tmp_path / "final_model").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "processor_config.json"} <= names
    assert "model.safetensors" not in names
    predicted(trained, trained / "base", "--adapter", tmp_path / "final_model")


def test_scores_stand_beside_the_majority(trained: Path) -> None:
    predicted(trained, trained / "merged")
    given = ["--predictions", trained / "predictions.jsonl", "--references", trained / "split/train.jsonl"]
    call(score, "--task", "fetal_vqa", *given, "--resamples", 100, "--output", trained / "metrics.json")
    entry = files.read_json(trained / "metrics.json")
    assert entry["baselines"]["ceiling"]["primary"]["value"] == 1.0
    assert 0.3 < entry["baselines"]["majority"]["primary"]["value"] < 1.0
    assert "majority" in entry["baselines"] and set(entry["by"]["phase"]) == {"Abdomen", "Femur"}
