"""A trained checkpoint becomes a model folder that the library's own classes load."""

from __future__ import annotations

import shutil
from pathlib import Path

from suture import files, model_folder
from suture.errors import InputError
from suture.training.checkpoint import STATE

# What a checkpoint holds so that training can go on; a model has no use for it.
_TRAINING = ["optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "log.jsonl", STATE, model_folder.CARD]
_WEIGHTS = ["*.safetensors", "*.safetensors.index.json", "weights.json", model_folder.CARD]


def export(checkpoint: Path, base: Path, output: Path) -> str:
    """Writes weights and configuration of a checkpoint, and everything else of its base.

    Args:
        checkpoint: a segment's output.
        base: the model it was trained from: processor and tokenizer come from there.
        output: the folder to write.

    Returns:
        One line on the tensors: matched, missing, unexpected.

    Raises:
        InputError: no tensor of the checkpoint, or not each, is one of the base's.
    """
    card = model_folder.read_card(checkpoint)
    if "step" not in card:
        raise InputError("not a segment checkpoint", where=checkpoint, fix="give the --output of train.py")
    digest = model_folder.weights_digest(base)
    if card["identity"]["base_weights"] != digest:
        raise InputError(
            "the checkpoint was trained from other weights than --base has", where=base, fix="give its own base model"
        )
    trained, original = model_folder.tensors(checkpoint), model_folder.tensors(base)
    matched = [name for name, (_, shape) in trained.items() if original.get(name, ("", None))[1] == shape]
    missing, unexpected = sorted(original.keys() - trained.keys()), sorted(trained.keys() - original.keys())
    table = f"{len(matched)} tensors matched, {len(missing)} missing, {len(unexpected)} unexpected"
    if len(matched) != len(original) or unexpected:
        named = ", ".join([*missing, *unexpected][:3])
        raise InputError(
            f"{table}: {named}", where=checkpoint, fix="the base and the checkpoint are of different models"
        )
    with files.atomic_dir(output) as temporary:
        shutil.copytree(base, temporary, ignore=shutil.ignore_patterns(*_WEIGHTS), dirs_exist_ok=True)
        shutil.copytree(checkpoint, temporary, ignore=shutil.ignore_patterns(*_TRAINING), dirs_exist_ok=True)
        model_folder.write_card(
            temporary,
            family=card["family"],
            system_prompt=card["system_prompt"],
            step=card["step"],
            parameters=card["parameters"],
            base_weights=digest,
            weights=model_folder.weights_digest(temporary),
        )
    return table
