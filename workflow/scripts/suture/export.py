"""A trained checkpoint becomes a model folder that the library's own classes load."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suture import files, model_folder, registry
from suture.errors import InputError
from suture.training.checkpoint import BEST, STATE

# What a checkpoint holds so that training can go on; a model has no use for it.
_TRAINING = ["optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "log.jsonl", STATE, BEST, model_folder.CARD]


# What a base folder holds that is of the base alone.
_OF_BASE = ["*.safetensors", "*.safetensors.index.json", model_folder.ADAPTER]
_OF_BASE += [model_folder.CARD, model_folder.LIST, model_folder.PAGE]

# What describes the weights of a base: without them it would promise a model that is not there.
_OF_WEIGHTS = ["config.json", "generation_config.json"]

# What a checkpoint's card says that prediction or the model's page needs, where it says it.
_PASSED_ON = ("frames", "shape", "stopped", "prompt_mode")


def export(checkpoint: Path, base: Path, output: Path, *, threads: int = 1, merge: bool = True) -> str:
    """Writes weights and configuration of a checkpoint, and everything else of its base.

    Where the run kept its best weights, those are written, not the last ones.
    With ``merge`` false adapters stay what they are: their two files and the
    processor's, a few MB that are of use beside the base alone.

    Args:
        checkpoint: a segment's output.
        base: the model it was trained from: processor and tokenizer come from there.
        output: the folder to write.
        threads: CPU threads of torch, which is needed only to merge adapters.
        merge: make adapters part of the base's weights.

    Returns:
        What was found: tensors matched, missing, unexpected; for adapters how
        far the merged model is from base and adapters.

    Raises:
        InputError: no tensor of the checkpoint, or not each, is one of the base's.
        SutureError: the merged model does not compute what base and adapters do.
    """
    card = model_folder.read_card(checkpoint)
    if "step" not in card:
        raise InputError("not a segment checkpoint", where=checkpoint, fix="give the --output of train.py")
    digest = model_folder.weights_digest(base)
    if card["identity"]["base_weights"] != digest:
        raise InputError(
            "the checkpoint was trained from other weights than --base has", where=base, fix="give its own base model"
        )
    adapter, best = card.get("adapter"), card.get("best_step")
    if not (merge or adapter):
        raise InputError("there are no adapters to keep apart: all weights were trained", where=checkpoint)
    weights = checkpoint / BEST if best is not None else checkpoint
    table = "" if adapter else compare(weights, base, where=checkpoint, remade=_remade(card))
    more: dict[str, Any] = {}
    with files.atomic_dir(output) as temporary:
        left_out = _OF_BASE if merge else [*_OF_BASE, *_OF_WEIGHTS]
        shutil.copytree(base, temporary, ignore=shutil.ignore_patterns(*left_out), dirs_exist_ok=True)
        if adapter and not merge:
            for path in sorted(weights.glob("adapter_*")):
                shutil.copy2(path, temporary)
            table = "the adapters beside their base, not merged"
        elif adapter:
            # Not before: it imports torch, which full training's checkpoints do without.
            from suture import merging

            more["merged"] = merging.merge(weights, base, temporary, card, threads=threads)
            table = f"{compare(temporary, base, where=checkpoint)}; {merging.describe(more['merged'])}"
            (temporary / model_folder.ADAPTER).mkdir()
            for path in sorted(weights.glob("adapter_*")):
                shutil.copy2(path, temporary / model_folder.ADAPTER)
        else:
            shutil.copytree(weights, temporary, ignore=shutil.ignore_patterns(*_TRAINING), dirs_exist_ok=True)
        model_folder.write_card(
            temporary,
            family=card["family"],
            system_prompt=card["system_prompt"],
            step=card["step"] if best is None else best,
            adapter=adapter,
            parameters=card["parameters"],
            base_weights=digest,
            weights=model_folder.weights_digest(temporary),
            base=_origin(base),
            training=card["identity"],
            **{name: card[name] for name in _PASSED_ON if name in card},
            **more,
        )
    return table


def _origin(base: Path) -> dict[str, Any]:
    """Returns where a base is from, as fetch_weights.py found it; empty for a folder that it did not make."""
    listed = files.read_json(base / model_folder.LIST) if (base / model_folder.LIST).is_file() else {}
    return {name: listed[name] for name in ("source", "model", "revision", "license") if name in listed}


def _remade(card: dict[str, Any]) -> Sequence[str]:
    """Names the tensors whose shape follows from the run, as the head's of a classifier."""
    found: Sequence[str] = registry.literals("model family", card["family"]).get("REMADE", ())
    return found


def compare(trained: Path, base: Path, *, where: Path, remade: Sequence[str] = ()) -> str:
    """Compares the names and shapes of two folders' tensors; those of ``remade`` may have other shapes.

    Returns:
        One line: how many matched, are missing, are unexpected.

    Raises:
        InputError: they are not the same.
    """
    ours, original = model_folder.tensors(trained), model_folder.tensors(base)
    matched = [
        name for name, (_, shape) in ours.items() if name in original and (name in remade or original[name][1] == shape)
    ]
    missing, unexpected = sorted(original.keys() - ours.keys()), sorted(ours.keys() - original.keys())
    table = f"{len(matched)} tensors matched, {len(missing)} missing, {len(unexpected)} unexpected"
    if len(matched) != len(original) or unexpected:
        named = ", ".join([*missing, *unexpected][:3])
        raise InputError(f"{table}: {named}", where=where, fix="the base and the checkpoint are of different models")
    return table
