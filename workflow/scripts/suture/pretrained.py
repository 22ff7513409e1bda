"""Loading weights so that each tensor of a file has its place in the model and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, BitsAndBytesConfig
from transformers.utils.import_utils import is_flash_attn_2_available

from suture import model_folder
from suture.errors import InputError

_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def load_model(
    kind: Any,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    quantization: BitsAndBytesConfig | None = None,
    unquantized: Sequence[str] = (),
    attention: str = "sdpa",
) -> Any:
    """Loads a model by its class's own ``from_pretrained``.

    Args:
        kind: a ``transformers`` model class.
        folder: weights and configuration.
        dtype: type of the loaded weights.
        quantization: how to quantise the linear layers while they are loaded.
        unquantized: modules that are left as they are all the same.
        attention: the library's name of the attention to compute with.

    Raises:
        InputError: no such model, or tensors are missing, unexpected or of
            another shape: the library would only warn, and fill in random ones.
    """
    if not (folder / "config.json").is_file():
        # The library would build its default instead: billions of random parameters, before it looks for weights.
        raise InputError(
            f"not a folder of {kind.__name__}: it has no config.json", where=folder, fix="fetch_weights.py makes one"
        )
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": attention}
    if quantization is not None:
        skipped = {"llm_int8_skip_modules": list(unquantized)}  # its name; 4-bit loading reads it too
        options["quantization_config"] = BitsAndBytesConfig.from_dict(quantization.to_dict() | skipped)
    try:
        model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    except (ImportError, OSError, ValueError) as error:
        # A package that is missing is told by an ImportError, what the model has no code for by a ValueError.
        if isinstance(error, ImportError) or "attn_implementation" in str(error) or "Flash Attention" in str(error):
            raise InputError(
                f"attention {attention!r} cannot be computed here: {error}", fix="use attention: sdpa"
            ) from error
        raise InputError(
            f"not a folder of {kind.__name__}: {error}", where=folder, fix="fetch_weights.py makes one"
        ) from error
    wrong = {name.removesuffix("_keys"): sorted(map(str, found)) for name, found in report.items() if found}
    if wrong:
        table = "; ".join(f"{len(names)} {kind_of} ({names[0]}, ...)" for kind_of, names in sorted(wrong.items()))
        raise InputError(f"the weights do not fit the model: {table}", where=folder, fix="fetch them again")
    return model


def load_processor(folder: Path, kind: Any = AutoProcessor) -> Any:
    """Loads what belongs to a model beside its weights: tokenizer, chat template, image and video settings.

    Args:
        folder: a model folder.
        kind: a class of the library with ``from_pretrained``: the whole processor, or one part of it.

    Raises:
        InputError: the folder has none.
    """
    try:
        return kind.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"no processor: {error}", where=folder, fix="fetch_weights.py makes a whole folder") from error


def usable_attention(wanted: str) -> tuple[str, str]:
    """Returns the attention to compute with, and why it is not the wanted one, or an empty text."""
    if wanted != "flash_attention_2":
        return wanted, ""
    if not torch.cuda.is_available():
        return "sdpa", "flash attention needs a GPU"
    if not is_flash_attn_2_available():
        return "sdpa", "the package flash-attn is not installed, or too old"
    return wanted, ""


def stored_dtype(folder: Path) -> torch.dtype:
    """Returns the type that a folder's weights are stored in; single precision where they are mixed.

    Raises:
        InputError: no floating-point type that can be trained.
    """
    kinds = {kind for kind, _ in model_folder.tensors(folder).values()}
    if not kinds <= _DTYPES.keys():
        raise InputError(f"weights of type {', '.join(sorted(kinds - _DTYPES.keys()))}", where=folder)
    return _DTYPES[kinds.pop()] if len(kinds) == 1 else torch.float32


def placement(folder: Path) -> tuple[torch.device, torch.dtype]:
    """Returns where a model answers, and in which type: on a GPU as stored, on the CPU in single precision."""
    if torch.cuda.is_available():
        return torch.device("cuda"), stored_dtype(folder)
    return torch.device("cpu"), torch.float32
