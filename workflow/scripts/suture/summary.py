"""What a finished training leaves for people: the published final_model/ and training_summary.json, and more."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suture import files, ledger, model_folder
from suture.records import Sample

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")


def copy_final(model: Path, target: Path) -> None:
    """Copies adapter and processor of an exported model into one folder; a model without adapters as a whole.

    Args:
        model: output of export_model.py, merged or not.
        target: the folder to write.
    """
    inner = model / model_folder.ADAPTER
    with files.atomic_dir(target) as temporary:
        if inner.is_dir():
            ignored = shutil.ignore_patterns(*_WEIGHTS, model_folder.ADAPTER)
            shutil.copytree(model, temporary, ignore=ignored, dirs_exist_ok=True)
            shutil.copytree(inner, temporary, dirs_exist_ok=True)
        else:
            shutil.copytree(model, temporary, dirs_exist_ok=True)


def summarise(
    *,
    experiment: str,
    model: Path,
    checkpoint: Path,
    base_name: str,
    splits: Mapping[str, Sequence[Sample]],
    ledger_file: Path | None,
    output_dir: Path,
) -> dict[str, Any]:
    """Returns training_summary.json: the keys of FADA's notebooks first, then what they leave out.

    Losses are means over an optimiser step's labels; ``final_loss`` is the last
    one logged, where the notebooks have the mean over the whole run.
    """
    card = model_folder.read_card(model)
    options = card["training"]
    log = files.read_jsonl(checkpoint / "log.jsonl")
    losses = [line["loss"] for line in log if "loss" in line]
    held_out = [line["eval_loss"] for line in log if "eval_loss" in line]
    a_step = options["batch_size"] * options["gradient_accumulation_steps"]
    n_train = len(splits["train"])
    jobs = _jobs(ledger_file, experiment)
    return {
        "model": base_name or card.get("base", {}).get("model"),
        "category": experiment,
        "num_images": len({sample.clip for samples in splits.values() for sample in samples}),
        **{f"{name}_samples": len(samples) for name, samples in splits.items()},
        "epochs": round(card["step"] * a_step / n_train, 3) if n_train else None,
        "training_time_min": round(jobs["wall_hours"] * 60, 2) if jobs else None,
        "final_loss": losses[-1] if losses else None,
        "output_dir": output_dir.as_posix(),
        "first_loss": losses[0] if losses else None,
        "validation_loss": held_out[-1] if held_out else None,
        "best_validation_loss": min(held_out) if held_out else None,
        "steps": card["step"],
        "stopped": card.get("stopped"),
        "batch_size": options["batch_size"],
        "gradient_accumulation_steps": options["gradient_accumulation_steps"],
        "learning_rate": options["learning_rate"],
        "precision": options["precision"],
        "seed": options["seed"],
        "adapter": card["adapter"],
        "parameters": card["parameters"],
        "base_weights": card["base_weights"],
        "jobs": dict(jobs),
    }


def _jobs(path: Path | None, experiment: str) -> Mapping[str, Any]:
    entries = ledger.read(path).of(experiment) if path is not None else []
    return ledger.totals(entries) if entries else {}
