"""Endo-FM's checkpoint files: three layouts of one backbone, read without running what is in them.

``teacher`` holds ``backbone.*`` beside the heads of self-supervised training
(the published ``endo_fm.pth``), ``backbone_state_dict`` ``module.*`` beside the
head in ``state_dict`` (a fine-tuned ``checkpoint.pth.tar``); or the names stand
by themselves. The published loader knows the first layout alone: of the second
it loads no tensor and goes on from random weights without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from suture import pickled
from suture.errors import InputError
from suture.space_time import SpaceTimeClassifier, SpaceTimeConfig

Tensors = dict[str, torch.Tensor]

HEAD = ("head.linear.weight", "head.linear.bias")
NUM_HEADS_WIDTH = 64
"""Width of one attention head in every published ViT."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What became of the tensors of a file.

    ``matched`` counts places of the model that got a tensor, ``missing`` are
    places without one, ``unexpected`` tensors without a place. ``head`` tells
    where the classification head is from: ``file`` or ``new``.
    """

    layout: str
    matched: int
    missing: list[str]
    unexpected: list[str]
    head: str

    @property
    def words(self) -> str:
        """One line for a user."""
        head = "its own head" if self.head == "file" else "a new head"
        return (
            f"layout {self.layout}: {self.matched} tensors matched, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected; {head}"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


def load(path: Path, classes: list[str] | None = None) -> tuple[SpaceTimeClassifier, Loaded]:
    """Makes a model of a checkpoint file, of the sizes that its tensors have.

    Args:
        path: a file in one of the three layouts.
        classes: names for the rows of its head; default: 0, 1, ...

    Raises:
        InputError: the file asks for code or is damaged, no tensor matches, a
            tensor of the backbone is missing or of another shape, or there
            are more or fewer names than rows of the head.
    """
    layout, found = _tensors(pickled.load(path), path)
    config = _sizes(found, path)
    rows = found[HEAD[0]].shape[0] if HEAD[0] in found else None
    if classes is not None and rows is not None and len(classes) != rows:
        raise InputError(f"{len(classes)} labels for a head of {rows} classes", where=path)
    config.classes = classes or [str(number) for number in range(rows or 2)]
    torch.manual_seed(0)  # of a head that the file does not have
    model = SpaceTimeClassifier(config)
    wanted = model.state_dict()
    wrong = sorted(name for name, tensor in found.items() if name in wanted and tensor.shape != wanted[name].shape)
    missing = sorted(wanted.keys() - found.keys())
    headless = set(HEAD) <= set(missing)
    lost = [name for name in missing if not (headless and name in HEAD)]
    unexpected = sorted(found.keys() - wanted.keys())
    table = Loaded(
        layout=layout,
        matched=len(wanted.keys() & found.keys()) - len(wrong),
        missing=missing,
        unexpected=unexpected,
        head="new" if headless else "file",
    )
    if wrong or lost:
        what = f"{wrong[0]} is {list(found[wrong[0]].shape)}" if wrong else f"{lost[0]} is missing"
        raise InputError(f"not a whole checkpoint: {table.words}: {what}", where=path, fix="fetch it again")
    model.load_state_dict({**wanted, **{name: tensor for name, tensor in found.items() if name in wanted}})
    model.train(False)
    return model, table


def _tensors(loaded: Any, where: Path) -> tuple[str, Tensors]:
    """Finds the tensors of a checkpoint under the names of our model, whichever its layout is."""
    if not isinstance(loaded, Mapping):
        raise InputError(f"the file holds a {type(loaded).__name__}, no checkpoint", where=where)
    head: Tensors = {}
    if _is_state(loaded.get("teacher")):
        layout, found = "teacher.backbone", _under(loaded["teacher"], ("module.backbone.", "backbone."))
        # The heads of self-supervised training are no backbone: they are not expected here.
    elif _is_state(loaded.get("backbone_state_dict")):
        layout, found = "backbone_state_dict.module", _under(loaded["backbone_state_dict"], ("module.", ""))
        if _is_state(loaded.get("state_dict")):
            head = _under(loaded["state_dict"], ("module.linear.", "linear."))
    else:
        inner = next((loaded[name] for name in ("model", "state_dict") if _is_state(loaded.get(name))), loaded)
        layout, found = "bare", _under(inner, ("module.backbone.", "backbone.", "module.", ""))
        head = {
            name.removeprefix("head.").removeprefix("linear."): found.pop(name)
            for name in sorted(found)
            if name.startswith(("head.", "linear."))
        }
        if not head and _is_state(inner):
            head = _under(inner, ("head.linear.", "module.head.linear."))
    if not any(name.startswith("blocks.") for name in found):
        names = ", ".join(sorted(map(str, loaded))[:5])
        raise InputError(
            f"no tensor of this file has a place in the backbone: 0 matched; it holds {names}",
            where=where,
            fix="give an Endo-FM or TimeSformer (divided space-time) checkpoint",
        )
    named = {f"backbone.{name}": tensor for name, tensor in found.items()}
    return layout, named | {f"head.linear.{name}": tensor for name, tensor in head.items()}


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, torch.Tensor) for one in value.values())


def _under(state: Mapping[str, Any], prefixes: Iterable[str]) -> Tensors:
    """Returns the tensors under the first prefix that some name has, without it."""
    for prefix in prefixes:
        found = {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if isinstance(value, torch.Tensor) and name.startswith(prefix)
        }
        if found:
            return found
    return {}


def _sizes(found: Tensors, where: Path) -> SpaceTimeConfig:
    """Reads the sizes of the model from the shapes of its tensors."""
    try:
        dim, _, patch, _ = found["backbone.patch_embed.proj.weight"].shape
        places, frames = (found[f"backbone.{name}"].shape[1] for name in ("pos_embed", "time_embed"))
        hidden = found["backbone.blocks.0.mlp.fc1.weight"].shape[0]
        depth = 1 + max(int(name.split(".")[2]) for name in found if name.startswith("backbone.blocks."))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"not a divided space-time transformer: no {error}",
            where=where,
            fix="--arch vit_base is what there is; the published swin is another model",
        ) from error
    return SpaceTimeConfig(
        image_size=round((places - 1) ** 0.5) * patch,
        patch_size=patch,
        num_frames=frames,
        hidden_size=dim,
        depth=depth,
        num_heads=max(1, dim // NUM_HEADS_WIDTH),
        mlp_ratio=hidden / dim,
    )
