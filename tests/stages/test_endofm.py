"""Endo-FM through the real commands: published file to model folder, training in jobs, two stages, evaluation."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

import cache_frames
import draw_endoscopy
import evaluate_checkpoint
import export_model
import fetch_weights
import predict
import sampling_dashboard
import train
from support import call, make_clip, run_script
from suture import cli, files, model_folder, probing, records, sampled_frames
from suture.errors import InputError
from suture.records import Prediction, Sample, Turn

STEPS = 4
CLASSES = ("mobile", "immobile")
FRAMES = ["--frames", 4, "--train-sampling", "random", "--val-sampling", "uniform", "--test-sampling", "uniform"]
# The same for all runs here: enough of each option that one is missed when it gets lost between two jobs.
OPTIONS = [
    "--max-steps", STEPS, "--batch-size", 4, "--gradient-accumulation-steps", 2,
    "--aug-step-size", 2, "--max-aug-rounds", 1,
    "--eval-steps", 1, "--keep-best", "--best-metric", "auroc", "--save-steps", 1, "--learning-rate", 0.01,
    "--learning-rate-per", 8, "--labels", *CLASSES,
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("endofm")
    cases = [f"one.p{n}" for n in range(4)]
    call(draw_endoscopy, "--cases", *cases, "--clips", 4, "--size", 56, "--output", root / "drawn")
    clips = []
    for line in sorted((root / "drawn/one/videos").glob("*/*.mp4")):
        name = f"{line.parent.name}_{line.stem}"
        clips.append(
            make_clip(
                id=name, case=line.parent.name, n_frames=40, fps=10.0, path=f"{line.parent.name}/{line.name}",
                sha256=files.sha256_file(line), source=f"{line.parent.name}/{line.name}",
            )
        )  # fmt: skip
    label_of = {}
    for split in ("train", "val", "test"):
        for text in files.read_text(root / f"drawn/one/splits/{split}.txt").split():
            path, label = text.split(",")
            label_of[path] = (split, CLASSES[int(label)])
    by_split: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    for clip in clips:
        split, label = label_of[clip.source]
        turn = Turn(question="Which class does this video show?", answer=label, kind="class")
        by_split[split].append(Sample(id=clip.id, case=clip.case, clip=clip.id, phase=label, turns=(turn,)))
    records.write(root / "clips.jsonl", clips)
    for split, rows in by_split.items():
        records.write(root / f"{split}.jsonl", rows)
    call(
        cache_frames, "--clips", root / "clips.jsonl", "--clips-dir", root / "drawn/one/videos", "--all",
        "--size", 56, 56,
        "--output", root / "all.jsonl", "--array", root / "all.npy",
    )  # fmt: skip
    call(fetch_weights, "--family", "endofm", "--model", "small", "--output", root / "small")
    return root


def run(data: Path, output: Path, *more: object, model: Path | None = None) -> int:
    inputs = ["--model", model or data / "small", "--train", data / "train.jsonl", "--val", data / "val.jsonl"]
    words = ["--family", "endofm", *inputs, "--frames-cache", data / "all.jsonl", "--output", output, *FRAMES, *OPTIONS]
    before = signal.getsignal(signal.SIGTERM)
    try:
        code = train.main(train.parser("endofm").parse_args([str(word) for word in [*words, *more]]))
    finally:
        signal.signal(signal.SIGTERM, before)
    return code


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    assert run(data, data / "whole", "--experiment", "toy", "--tracking-dir", data / "tracking") == cli.DONE
    call(export_model, "--checkpoint", data / "whole", "--base", data / "small", "--output", data / "model")
    return data / "model"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_in_two_jobs_equals_one_to_the_bit(data: Path, trained: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path / "1", "--until-step", 2) == cli.DONE
    assert run(data, tmp_path / "2", "--resume", tmp_path / "1", "--workers", 2) == cli.DONE
    whole, joined = contents(data / "whole"), contents(tmp_path / "2")
    assert sorted(whole) == sorted(joined)
    assert [name for name in whole if whole[name] != joined[name]] == []


def test_the_run_leaves_its_files(data: Path, trained: Path) -> None:
    folder = data / "tracking"
    assert files.read_json(folder / "config.json")["labels"] == list(CLASSES)
    blocks = [block for block in files.read_text(folder / "log.txt").split("\n\n") if block]
    assert len(blocks) == STEPS
    assert "epoch 0 step 1" in files.read_text(folder / "training.log")
    assert list(folder.glob("best_confusion_matrix_epoch_*.png"))
    rows = sampled_frames.read(folder / "sampling_indices/sampling_indices_toy_random_train_augstep2.csv")
    assert len(rows) == STEPS * 8
    # 8 training clips in 2 rounds each: an epoch is 16 views.
    assert {(row.round, row.epoch) for row in rows} == {(0, 0), (1, 0), (0, 1), (1, 1)}
    assert len({(row.clip, row.round) for row in rows if row.epoch == 0}) == 16


def test_the_best_weights_by_the_named_metric_are_exported(data: Path, trained: Path) -> None:
    log = [line for line in files.read_jsonl(data / "whole/log.jsonl") if "eval_auroc" in line]
    best = max(log, key=lambda line: (line["eval_auroc"], -line["step"]))["step"]
    card = model_folder.read_card(trained)
    assert card["step"] == best
    assert card["frames"] == {"count": 4, "height": 56, "width": 56, "method": "uniform", "seed": 42}


def test_predictions_have_a_probability_of_each_class(data: Path, trained: Path, tmp_path: Path) -> None:
    out, drawn = tmp_path / "predictions.jsonl", tmp_path / "test.csv"
    asked = ["--model", trained, "--samples", data / "test.jsonl", "--frames-cache", data / "all.jsonl"]
    call(predict, *asked, "--output", out, "--sampling-indices", drawn)
    found: list[Prediction] = records.read(out, Prediction)
    for one in found:
        assert list(one.scores) == sorted(CLASSES)  # JSON lines are sorted
        assert np.exp(list(one.scores.values())).sum() == pytest.approx(1, abs=1e-4)
        assert one.prediction == max(one.scores, key=one.scores.__getitem__)
    assert {row.indices for row in sampled_frames.read(drawn)} == {(0, 13, 26, 39)}
    call(predict, *asked, "--output", tmp_path / "still.jsonl", "--video", "still")
    assert [p.scores for p in records.read(tmp_path / "still.jsonl", Prediction)] != [p.scores for p in found]
    # One video by itself is answered as in its dataset.
    video = next((data / "drawn/one/videos").glob(f"{found[0].clip.replace('_', '/')}.mp4"))
    call(predict, "--model", trained, "--media", video, "--output", tmp_path / "one.jsonl")
    alone: list[Prediction] = records.read(tmp_path / "one.jsonl", Prediction)
    assert alone[0].scores == pytest.approx(found[0].scores, abs=1e-4)


@pytest.mark.parametrize(
    "more",
    [
        ["--precision", "bf16", "--optimizer", "adamw", "--class-weights", "balanced"],
        ["--loss-function", "cross_entropy", "--n-last-blocks", 1, "--early-stopping-patience", 1],
    ],
    ids=["mixed precision, AdamW, class weights", "cross-entropy, one block, early stopping"],
)
def test_other_ways_of_training(data: Path, trained: Path, tmp_path: Path, more: list[object]) -> None:
    assert run(data, tmp_path / "out", *more) == cli.DONE
    logs = (files.read_jsonl(folder / "log.jsonl") for folder in (tmp_path / "out", data / "whole"))
    losses, plain = ([line["eval_loss"] for line in log] for log in logs)
    assert losses and np.isfinite(losses).all() and losses != plain[: len(losses)], "the options had no effect"


def test_a_probe_draws_frames_as_the_run_does(data: Path, tmp_path: Path) -> None:
    """What `make plan` reckons with."""
    inputs = ["--model", data / "small", "--train", data / "train.jsonl", "--val", data / "val.jsonl"]
    given = [*FRAMES, "--aug-step-size", 2, "--max-aug-rounds", 1, "--labels", *CLASSES, "--batch-size", 4]
    cache = ["--frames-cache", data / "all.jsonl", "--output", tmp_path / "probe.json"]
    run_script("probe", "--family", "endofm", *inputs, *cache, *given, "--steps", 1)
    found = probing.read(tmp_path / "probe.json")
    assert found is not None and found.timing is not None and set(found.memory) == {"full"}, "there is no LoRA here"


def test_a_second_stage_goes_on_from_the_first(data: Path, trained: Path, tmp_path: Path) -> None:
    """The published second stage looks for backbone.* in its file, finds none, and starts from random weights."""
    import torch
    from safetensors.torch import load_file

    assert run(data, tmp_path / "stage2", "--learning-rate", 1e-12, model=trained) == cli.DONE
    first, second = (load_file(path / "model.safetensors") for path in (trained, tmp_path / "stage2"))
    assert all(torch.allclose(first[name], second[name], atol=1e-7) for name in first)


def test_a_checkpoint_file_is_evaluated_by_one_command(data: Path, trained: Path, tmp_path: Path) -> None:
    import torch

    from suture.space_time import SpaceTimeClassifier, SpaceTimeConfig

    torch.manual_seed(0)
    sizes = {"image_size": 56, "patch_size": 14, "hidden_size": 64, "depth": 2, "num_heads": 1}
    model = SpaceTimeClassifier(SpaceTimeConfig(**sizes))
    state = {f"module.{name}": tensor for name, tensor in model.backbone.state_dict().items()}
    head = {f"module.linear.{name}": tensor for name, tensor in model.head.linear.state_dict().items()}
    torch.save({"epoch": 1, "backbone_state_dict": state, "state_dict": head}, tmp_path / "checkpoint.pth.tar")
    torch.save({"teacher": {f"backbone.{n}": t for n, t in model.backbone.state_dict().items()}}, tmp_path / "pre.pth")
    options = ["--root", data / "drawn/one", "--size", 56, 56, "--labels", *CLASSES, "--output", tmp_path / "out"]
    call(evaluate_checkpoint, "--checkpoint", tmp_path / "checkpoint.pth.tar", *options)
    entry = files.read_json(tmp_path / "out/metrics.json")
    assert entry["n_samples"] == len(records.read(data / "test.jsonl", Sample)) == 4
    assert {"acc", "f1", "f1_macro", "f1_weighted", "sensitivity", "specificity", "auroc", "auprc"} <= set(
        entry["metrics"]
    )
    assert entry["tables"]["curves"]["immobile"][-1][1:3] == [1.0, 1.0]
    assert (tmp_path / "out/confusion_matrix.png").is_file()
    # The same model under bare names says the same.
    torch.save({**model.backbone.state_dict(), **model.head.state_dict(prefix="head.")}, tmp_path / "bare.pth")
    bare = [*options[:-1], tmp_path / "bare"]
    call(evaluate_checkpoint, "--checkpoint", tmp_path / "bare.pth", *bare)
    assert files.read_json(tmp_path / "bare/metrics.json")["metrics"] == entry["metrics"]
    with pytest.raises(InputError, match="no classification head"):
        call(evaluate_checkpoint, "--checkpoint", tmp_path / "pre.pth", *options)
    call(
        evaluate_checkpoint, "--checkpoint", trained, "--root", data / "drawn/one", "--output", tmp_path / "ours",
    )  # fmt: skip
    assert files.read_json(tmp_path / "ours/metrics.json")["n_samples"] == 4


def test_the_dashboard_reads_what_the_trainer_wrote(data: Path, trained: Path, tmp_path: Path) -> None:
    csvs = sorted((data / "tracking/sampling_indices").glob("*.csv"))
    page = tmp_path / "sampling.html"
    call(sampling_dashboard, "--csv", *csvs, "--frames-cache", data / "all.jsonl", "--strips", 2, "--output", page)
    html = files.read_text(page)
    assert html.count('"picture"') == 4 and "data:image/jpeg;base64," in html
    assert "http" not in html.replace("http-equiv", "") and "src=" not in html.replace("{ src", "")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--use-lora"], "all weights of the classifier are trained"),
        (["--arch", "swin"], "swin have no published"),
        (["--scratch"], "vit_base"),
        (["--packing"], "no words to pack"),
        (
            ["--train-sampling", "middle", "--val-sampling", "middle", "--test-sampling", "middle"],
            "needs frames that are drawn",
        ),
    ],
)
def test_options_that_mean_nothing_here_are_refused(data: Path, tmp_path: Path, words: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        run(data, tmp_path / "x", *words)


def test_the_command_prints_frames_without_loading_more_than_it_needs() -> None:
    printed = run_script("sample_frames", "--total", 4, "--frames", 8, "--method", "uniform")
    assert printed == "[0, 0, 1, 1, 2, 2, 3, 3]\n"
