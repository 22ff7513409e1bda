"""Adapters become part of the weights they were trained beside, and the result is compared with what it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig

from suture import libraries, registry
from suture.errors import SutureError
from suture.models.base import Video, VideoModel
from suture.pretrained import stored_dtype
from suture.records import Turn
from suture.training import adapters

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2**-4, torch.float16: 2**-7}
"""Largest difference of logits between the merged model and base with adapters, as a share of the largest
logit: rounding of the weights' type, summed over the layers."""


def merge(checkpoint: Path, base: Path, folder: Path, card: dict[str, Any], *, threads: int) -> dict[str, float]:
    """Merges a checkpoint's adapters into its base, in the type the base is stored in, and saves the weights.

    The base is read as it was fetched, also for QLoRA: merged into 4-bit
    weights, most of what the adapters learnt would be rounded away.

    Args:
        checkpoint: a segment's output, with adapters.
        base: its base model.
        folder: has the base's other files already; gets weights and configuration.
        card: the checkpoint's.
        threads: CPU threads of torch.

    Returns:
        On one made-up input of the run's frame size, as shares of the largest
        logit: ``difference``, between the saved model and base with adapters;
        ``tolerance``, for it; ``effect``, that the adapters have.

    Raises:
        InputError: the adapters do not fit the base.
        SutureError: the difference is above the tolerance.
    """
    libraries.prepare(threads=threads)
    family, prompt = registry.family(card["family"]), card["system_prompt"]
    dtype = stored_dtype(base)
    model = family.load(base, prompt, dtype=dtype)
    plain = logits(model, card["shape"])
    config: Any = LoraConfig.from_pretrained(str(checkpoint))
    adapted = adapters.wrap(model.model, config)
    adapters.restore(adapted, checkpoint)
    model.model = adapted
    wanted = logits(model, card["shape"])
    adapted.merge_and_unload(safe_merge=True).save_pretrained(folder)
    del model, adapted  # two large models would not fit
    found = logits(family.load(folder, prompt, dtype=dtype), card["shape"])
    largest = wanted.abs().max().item()
    merged = {
        "difference": (found - wanted).abs().max().item() / largest,
        "tolerance": TOLERANCE[dtype],
        "effect": (plain - wanted).abs().max().item() / largest,
    }
    if not merged["difference"] <= merged["tolerance"]:
        raise SutureError(
            f"the merged model is not base and adapters: {describe(merged)}",
            where=checkpoint,
            fix="use the versions of requirements.lock",
        )
    return merged


def describe(merged: dict[str, float]) -> str:
    """Words the outcome of :func:`merge`."""
    return (
        f"logits differ from base and adapters' by {merged['difference']:.2g} of the largest "
        f"(tolerance {merged['tolerance']:.2g}); the adapters change them by {merged['effect']:.2g}"
    )


@torch.inference_mode()
def logits(model: VideoModel, shape: list[int]) -> torch.Tensor:
    """Returns the logits of one conversation about noise of a shape (frames, height, width), in single precision."""
    frames = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    turns = [Turn(question="What does the video show?", answer="It shows nothing but noise.", kind="noise")]
    batch = model.collate([model.encode(turns, Video(frames=frames, frame_seconds=0.5))])
    module: Any = model.model
    module.eval()
    out: torch.Tensor = module(**{name: value for name, value in batch.items() if name != "labels"}).logits
    return out.float()
