"""Loading weights so that each tensor of a file has its place in the model and the other way round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from suture.errors import InputError


def load_model(kind: Any, folder: Path, *, dtype: torch.dtype = torch.float32) -> Any:
    """Loads a model by its class's own ``from_pretrained``.

    Args:
        kind: a ``transformers`` model class.
        folder: weights and configuration.
        dtype: type of the loaded weights.

    Raises:
        InputError: no such model, or tensors are missing, unexpected or of
            another shape: the library would only warn, and fill in random ones.
    """
    try:
        model, report = kind.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"not a folder of {kind.__name__}: {error}", where=folder, fix="fetch_weights.py makes one"
        ) from error
    wrong = {name.removesuffix("_keys"): sorted(map(str, found)) for name, found in report.items() if found}
    if wrong:
        table = "; ".join(f"{len(names)} {kind_of} ({names[0]}, ...)" for kind_of, names in sorted(wrong.items()))
        raise InputError(f"the weights do not fit the model: {table}", where=folder, fix="fetch them again")
    return model
