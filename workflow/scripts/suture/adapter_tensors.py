"""An adapter's tensors find their places in a loaded model, whatever the modules were called when it was trained.

Before transformers 4.52 the language model of Qwen2.5-VL was ``model``, that of
LLaVA ``language_model.model``; both are ``model.language_model`` today. The
library has a table of such changes, to read old weight files with: adapters
are read by the same table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from suture.errors import InputError, SutureError
from suture.models.base import VideoModel
from suture.training.adapters import WEIGHTS, wrap

PICKLED = "adapter_model.bin"
_PREFIX = "base_model.model."
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, UnpicklingError, SafetensorError)


def put_on(model: VideoModel, folder: Path) -> str:
    """Puts an adapter on a loaded model: ``model.model`` becomes the adapted one. Nothing is merged.

    Returns:
        One line: how many tensors matched, how many of them under a former name.

    Raises:
        InputError: no tensor, or not each, has its place in the model, or the
            other way round; they are named.
    """
    saved = read(folder)
    base: Any = model.model
    tensors = {new: saved[old] for old, new in present_names(base, saved).items()}
    if len(tensors) < len(saved):
        raise InputError("two tensors of the adapter are for one place", where=folder)
    config: Any = LoraConfig.from_pretrained(str(folder))
    config.base_model_name_or_path = None  # compared with the model's before; else the library warns of it here
    targets = {_module(name) for name in tensors} & {name for name, _ in base.named_modules()}
    if not targets:
        raise _misfit(folder, matched=(), missing=(), unexpected=sorted(saved))
    if not any(check_target_module_exists(config, name) for name in targets):
        # Written as whole names or an expression for the former tree. What the file holds says it, too.
        config.target_modules = targets
    for pattern in (*config.rank_pattern, *config.alpha_pattern):
        if not any(re.fullmatch(rf"(.*\.)?({pattern})", name) for name in targets):
            raise InputError(f"{pattern!r} in rank_pattern or alpha_pattern fits no adapted layer", where=folder)
    adapted = wrap(base, config)
    places = _state(adapted)
    matched = [name for name in tensors if name in places and tensors[name].shape == places[name].shape]
    missing, unexpected = sorted(places.keys() - set(matched)), sorted(tensors.keys() - set(matched))
    if missing or unexpected:
        raise _misfit(folder, matched=matched, missing=missing, unexpected=unexpected)
    set_peft_model_state_dict(adapted, tensors)
    now = _state(adapted)
    lost = [name for name in tensors if not torch.equal(now[name], tensors[name].to(now[name].dtype))]
    if lost:
        raise SutureError(f"{len(lost)} adapter tensors were not taken over: {lost[0]}, ...", where=folder)
    model.model = adapted
    renamed = len(tensors.keys() - saved.keys())
    return f"{len(matched)} tensors matched ({renamed} by a former name), 0 missing, 0 unexpected"


def read(folder: Path) -> dict[str, torch.Tensor]:
    """Reads an adapter's tensors from safetensors, or from a pickled file of tensors and nothing else.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    try:
        if (folder / WEIGHTS).is_file():
            return load_file(folder / WEIGHTS)
        if (folder / PICKLED).is_file():
            found: dict[str, torch.Tensor] = torch.load(folder / PICKLED, map_location="cpu", weights_only=True)
            return found
    except _UNREADABLE as error:
        raise InputError(
            f"the adapter's weights cannot be read: {error}", where=folder, fix="fetch it again"
        ) from error
    raise InputError(f"neither {WEIGHTS} nor {PICKLED} in the adapter's folder", where=folder)


def present_names(base: Any, names: Iterable[str]) -> dict[str, str]:
    """Maps the names of an adapter's tensors to those that they have with this model today."""
    renamings = [entry for entry in get_model_conversion_mapping(base) if isinstance(entry, WeightRenaming)]

    def present(weight: str) -> str:
        return str(rename_source_key(weight, renamings, [])[0])

    found = {}
    for name in names:
        inner = name.removeprefix(_PREFIX)
        layer, mark, rest = inner.partition(".lora_")
        # The table knows weights, not what stands beside them.
        new = present(f"{layer}.weight").removesuffix(".weight") if mark else present(inner)
        found[name] = f"{_PREFIX}{new}{mark}{rest}"
    return found


def _module(name: str) -> str:
    return name.removeprefix(_PREFIX).partition(".lora_")[0]


def _state(adapted: Any) -> Mapping[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    return found


def _misfit(folder: Path, *, matched: Iterable[str], missing: Iterable[str], unexpected: Iterable[str]) -> InputError:
    lists = {"missing": list(missing), "unexpected": list(unexpected)}
    named = "".join(f"; {kind}: {', '.join(names[:3])}" for kind, names in lists.items() if names)
    return InputError(
        f"the adapter does not fit the model: {len(list(matched))} tensors matched, "
        f"{len(lists['missing'])} missing, {len(lists['unexpected'])} unexpected{named}",
        where=folder,
        fix="give --model the model that the adapter was trained beside",
    )
