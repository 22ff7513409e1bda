"""A checkpoint file as the published fine-tune saves it (fine-tune/train_ssgvqa.py): the whole model's state dict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

RANK, ALPHA = 4, 32


def save(network: Any, path: Path) -> Any:
    """Puts adapters that do something on a SurgViVQA's GPT-2 and saves it under the published names.

    Returns:
        GPT-2 with its adapters, as the library runs it.
    """
    wrapped = get_peft_model(
        network.llm,
        LoraConfig(
            task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True
        ),
    )
    generator = torch.Generator().manual_seed(1)
    for name, parameter in wrapped.named_parameters():
        if ".lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    state = {f"llm.{name}": tensor for name, tensor in wrapped.state_dict().items()}
    for part in ("visual_encoder", "text_encoder"):
        state |= {f"{part}.{name}": tensor for name, tensor in getattr(network, part).state_dict().items()}
    # A second name for GPT-2, a pooler that nothing reads, and a name of transformers 4.
    state |= {"decoder_model.transformer.wte.weight": state["llm.base_model.model.transformer.wte.weight"]}
    state |= {
        "text_encoder.pooler.dense.weight": torch.zeros(64, 64),
        "text_encoder.pooler.dense.bias": torch.zeros(64),
    }
    state = {n.replace("attention.attention.query.bias", "attention.attention.q_bias"): t for n, t in state.items()}
    torch.save(state, path)
    return wrapped.eval()
