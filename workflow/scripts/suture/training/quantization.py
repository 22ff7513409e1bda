"""A language model in 4 or 8 bits: how it is made, and what is checked once it is.

The published script misspells one key and leaves out another, and trains
another model than it says: what was asked for is therefore counted here.
"""

from __future__ import annotations

from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from transformers import BitsAndBytesConfig

from suture.errors import SutureError


def nf4(compute_dtype: torch.dtype) -> BitsAndBytesConfig:
    """Returns QLoRA's quantisation (arxiv.org/abs/2305.14314): NF4 with double quantisation.

    Args:
        compute_dtype: type in which the layers multiply.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def int8() -> BitsAndBytesConfig:
    """Returns LLM.int8() (arxiv.org/abs/2208.07339): 8 bits a weight, columns of outliers in full."""
    return BitsAndBytesConfig(load_in_8bit=True)


def wanted(bits: int, compute_dtype: torch.dtype) -> BitsAndBytesConfig:
    """Returns the quantisation to 4 or 8 bits."""
    return nf4(compute_dtype) if bits == 4 else int8()


def settle(model: torch.nn.Module, language_model: str, compute_dtype: torch.dtype, *, bits: int = 4) -> int:
    """Makes a model just quantised fit for training, and checks that it is what was asked for.

    Call it before the first forward pass. In evaluation bitsandbytes 0.50 lays
    4-bit weights out anew for CPUs with avx512_bf16, in place, and never back:
    trained after that, adapters get no gradient, without an error. Here the
    layers are told not to.

    Args:
        model: the loaded model.
        language_model: name of the module whose linear layers are quantised; no other's are.
        compute_dtype: what :func:`nf4` was given.
        bits: 4 or 8.

    Returns:
        The number of quantised layers: all linear layers of the language model.

    Raises:
        SutureError: the library quantised something else.
    """
    inside = f"{language_model}."
    kind: Any = Linear4bit if bits == 4 else Linear8bitLt
    layers = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    quantized: dict[str, Any] = {name: module for name, module in layers.items() if isinstance(module, kind)}
    asked = {name for name in layers if name.startswith(inside)}
    wrong = sorted(quantized.keys() ^ asked)
    if wrong or not asked:
        raise SutureError(
            f"{len(quantized)} layers are in {bits} bits, {len(asked)} should be: "
            f"{', '.join(wrong[:3]) or 'none found'}",
            fix="use the versions of requirements.lock",
        )
    if bits == 8:
        return len(quantized)
    for name, layer in quantized.items():
        layer.support_avx512bf16_for_cpu = False
        state = layer.weight.quant_state
        found = (state.quant_type, state.nested, layer.compute_dtype)
        if found != ("nf4", True, compute_dtype):
            raise SutureError(
                f"{name} is {found[0]}, double quantisation {found[1]}, computing in {found[2]}; "
                f"asked for: nf4, True, {compute_dtype}",
                fix="use the versions of requirements.lock",
            )
    return len(quantized)
