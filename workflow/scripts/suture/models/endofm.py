"""Endo-FM: a video classifier on a space-time transformer, and a small one with the same classes.

Backbone and head are :mod:`suture.space_time`'s, published checkpoints are
read by :mod:`suture.endofm_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import BitsAndBytesConfig, set_seed

from suture import endofm_files, model_folder
from suture.classifier import VideoClassifier
from suture.errors import InputError
from suture.pretrained import load_model
from suture.space_time import HeadLinear, SpaceTimeClassifier, SpaceTimeConfig, new_head, resized

NAME = "endofm"
SYSTEM_PROMPT = ""
ANSWERS = "classes"
MODEL = SpaceTimeClassifier

# scripts/train_8frames.sh of the published repository.
PUBLISHED = {"save_dir": "checkpoints/endofm", "size": (224, 224)}
TRAIN_DEFAULTS = {
    "num_epochs": 30,
    "batch_size": 2,
    "gradient_accumulation_steps": 1,
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 0.001,
    "learning_rate_per": 256,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.0,
    "weight_decay": 0.0,
    "max_grad_norm": 0.0,
    "precision": "fp32",
    "loss_function": "focal_loss",
    "focal_gamma": 1.0,
    "focal_alpha": 0.5,
    "seed": 42,
}

BUILT = ("vit_base",)
"""Models that are built here with random weights, beside ``small``: the published ViT-B/16, to train from scratch."""

REMADE = ("head.linear.weight", "head.linear.bias", "backbone.time_embed")
"""Tensors whose shape follows from the run, not from the base model."""

REFUSED = {
    "use_lora": "all weights of the classifier are trained, as published; fewer with n_last_blocks",
    "use_qlora": "all weights of the classifier are trained, as published; fewer with n_last_blocks",
    "freeze_projector": "there is no projector; freeze_vision leaves the backbone as it is",
    "freeze_language": "there is no language model; freeze_vision leaves the backbone as it is",
    "projector_learning_rate": "there is no projector",
    "packing": "videos have no words to pack",
    "group_by_length": "all videos are of one length",
    "blind": "without a video a classifier can say the commonest class alone, which is the majority baseline",
    "shuffle_turns": "a clip has one question",
    "attention": "it is computed by torch's scaled_dot_product_attention, which takes flash attention where it can",
}

REFUSED_FLAGS = {
    "arch": "the model says what it is: --model of `fetch_weights.py --model vit_base` (random weights) or of a "
    "published file; vit_tiny, vit_small and swin have no published Endo-FM weights here",
    "scratch": "published, it loads the same file and interpolates the time embeddings, which is always done here; "
    "for random weights take --model of `fetch_weights.py --model vit_base`",
    "use_flow": "the published models read RGB frames only; DATA.USE_FLOW is False in all its scripts",
    "avgpool_patchtokens": "published, the classifier reads the class token alone; so does this",
    "num_labels": "the classes are those of the training samples, or --labels NAME NAME ...",
    "opts": "the keys of PySlowFast's configuration are not read; docs/endofm.md says what stands for each",
}
"""Published options, with underscores, that are named in order to be refused, with the way out."""

TOWERS = {"vision": ("backbone",), "head": ("head",)}

SMALL: dict[str, Any] = {
    "image_size": 56,
    "patch_size": 14,
    "hidden_size": 64,
    "depth": 3,
    "num_heads": 4,
    "mlp_ratio": 2.0,
}


def build_small(folder: Path) -> None:
    """Saves a classifier of 0.2 million random weights, the same bytes each time on one machine type."""
    _save(SpaceTimeConfig(**SMALL, drop_path_rate=0.0, spread=0.1), folder)


def build(name: str, folder: Path) -> None:
    """Saves a model of :data:`BUILT` with random weights.

    Raises:
        InputError: there is no such model.
    """
    if name not in BUILT:
        raise InputError(f"there is no {name!r} to build", fix=f"one of small, {', '.join(BUILT)}")
    _save(SpaceTimeConfig(), folder)


def _save(config: SpaceTimeConfig, folder: Path) -> None:
    set_seed(0)
    SpaceTimeClassifier(config).save_pretrained(folder)
    model_folder.write_card(folder, family=NAME, system_prompt=SYSTEM_PROMPT)


def take_file(path: Path, folder: Path, classes: list[str] | None = None) -> dict[str, Any]:
    """Makes a model folder of a published checkpoint file.

    Args:
        path: a file in one of the layouts of :mod:`suture.endofm_files`.
        folder: an existing folder.
        classes: names for the rows of its head.

    Returns:
        What became of its tensors.

    Raises:
        InputError: see :func:`suture.endofm_files.load`.
    """
    model, table = endofm_files.load(path, classes)
    model.save_pretrained(folder)
    model_folder.write_card(folder, family=NAME, system_prompt=SYSTEM_PROMPT)
    return table.to_json() | {"words": table.words}


def load(
    folder: Path,
    system_prompt: str | None = None,
    *,
    dtype: torch.dtype | None = None,
    quantization: BitsAndBytesConfig | None = None,
    attention: str = "sdpa",
) -> EndoFM:
    """Loads a model folder; see :class:`suture.models.base.Family`."""
    if system_prompt:
        raise InputError("a classifier has no system prompt", fix="leave it out")
    if attention != "sdpa" or quantization is not None:
        raise InputError(f"attention {attention!r} and quantisation are not for a classifier", fix="attention: sdpa")
    return EndoFM(load_model(SpaceTimeClassifier, folder, dtype=dtype or torch.float32))


class EndoFM(VideoClassifier):
    """A loaded classifier.

    Args:
        model: backbone and head.
    """

    towers = TOWERS

    def __init__(self, model: SpaceTimeClassifier) -> None:
        super().__init__(model, model.config.classes)

    def check_size(self, height: int, width: int) -> None:
        """Refuses frames that do not consist of whole patches."""
        patch = self.model.config.patch_size
        if height % patch or width % patch:
            side = self.model.config.image_size
            raise InputError(
                f"frames of {height} x {width} pixels are not made of patches of {patch} x {patch}",
                fix=f"cache them at multiples of {patch}: --size {side} {side}",
            )

    def tokens_of(self, shape: tuple[int, int, int]) -> int:
        """One for the class, and one for each patch of each frame."""
        frames, height, width = shape
        patch: int = self.model.config.patch_size
        return 1 + frames * (height // patch) * (width // patch)

    @torch.no_grad()
    def reshape(self, classes: Sequence[str], frames: int, seed: int) -> None:
        """Draws a new head where the classes are others; time embeddings become the nearest ones, as published."""
        model: SpaceTimeClassifier = self.model
        if tuple(classes) != self.classes:
            set_seed(seed)
            linear = HeadLinear(model.config.hidden_size, len(classes))
            new_head(linear)
            model.head.linear = linear.to(model.device, model.dtype)
            model.config.classes = list(classes)
        if frames != model.config.num_frames:
            time_embed = resized(model.backbone.time_embed, frames).clone()
            model.backbone.time_embed = torch.nn.Parameter(time_embed)
            model.config.num_frames = frames

    def before_last_blocks(self, count: int) -> tuple[str, ...]:
        """Names embeddings and the blocks before the last ``count``; the final norm is trained with these."""
        depth = self.model.config.depth
        if count > depth:
            raise InputError(f"n_last_blocks is {count}; there are {depth} blocks")
        embeddings = ("cls_token", "pos_embed", "time_embed", "patch_embed")
        return tuple(f"backbone.{name}" for name in (*embeddings, *(f"blocks.{n}" for n in range(depth - count))))
