"""A folder with a LoRA adapter: ours or a published one, and whether it is for the model at hand.

Ours are checkpoints of train.py and the folder ``adapter`` that export_model.py
leaves in a model folder; published ones hold the library's two files only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import files, model_folder
from suture.errors import InputError
from suture.training.checkpoint import BEST

CONFIG = "adapter_config.json"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class AdapterFolder:
    """Where an adapter lies, the library's description of it, and our card; a published one has none: an empty dict."""

    path: Path
    config: dict[str, Any]
    card: dict[str, Any]


def find(folder: Path) -> AdapterFolder:
    """Finds the adapter in a folder: that of a model folder, or a checkpoint's best one where it was kept.

    Raises:
        InputError: there is none, or it is no LoRA adapter.
    """
    card = model_folder.read_card(folder)
    if not card and folder.name in (model_folder.ADAPTER, BEST):
        card = model_folder.read_card(folder.parent)
    path = folder
    if (folder / model_folder.ADAPTER / CONFIG).is_file():
        path = folder / model_folder.ADAPTER
    elif card.get("best_step") is not None and (folder / BEST / CONFIG).is_file():
        path = folder / BEST  # as in an export
    if not (path / CONFIG).is_file():
        raise InputError(f"no {CONFIG} in the adapter's folder", where=folder, fix="is it a whole model? give --model")
    config: dict[str, Any] = files.read_json(path / CONFIG)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise InputError("not the description of a LoRA adapter", where=path / CONFIG)
    return AdapterFolder(path=path, config=config, card=card)


def check_base(adapter: AdapterFolder, model: Path, *, hub_id: str | None = None) -> str:
    """Refuses an adapter that was trained beside another model.

    Args:
        adapter: the adapter.
        model: the model's folder.
        hub_id: name of the model on the hub, where it is known.

    Returns:
        What could not be compared, or an empty text.

    Raises:
        InputError: naming both models.
    """
    card = adapter.card
    digest = card.get("base_weights") or card.get("identity", {}).get("base_weights")
    if digest:
        if digest != model_folder.weights_digest(model):
            raise InputError(
                "the adapter was trained beside other weights than --model has",
                where=adapter.path,
                fix="give the base model of that training, not one that the adapter is merged into",
            )
        return ""
    wanted = adapter.config.get("base_model_name_or_path") or ""
    if not wanted:
        return "the adapter does not say which model it is for"
    if not hub_id or not _HUB_ID.fullmatch(wanted):
        return f"the adapter is for {wanted}; whether --model is that one cannot be told"
    # The hub takes a name in any case, and the published scripts spell one in another case than its page.
    if wanted.casefold() != hub_id.casefold():
        raise InputError(
            f"the adapter is for {wanted}, the model is {hub_id}", where=adapter.path, fix=f"fetch {wanted}"
        )
    return ""
