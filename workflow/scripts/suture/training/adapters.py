"""LoRA: adapters on a frozen base, counted when attached, saved and restored whole or not at all."""

from __future__ import annotations

import copy
import re
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import set_seed
from transformers.pytorch_utils import Conv1D

from suture import files, model_folder
from suture.config.training import Train
from suture.errors import InputError, SutureError
from suture.models.base import VideoModel
from suture.pretrained import usable_attention
from suture.training import quantization
from suture.training.towers import is_inside, tower_of

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

# What the adapter library puts into the names of modules that it trains whole.
_COPY, _WRAPPED = "modules_to_save.default.", "base_model.model."

_COMPUTE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def base_options(options: Train) -> dict[str, Any]:
    """Returns how a family loads the base of a run.

    A frozen base needs no more digits than the arithmetic has: it is held in
    bf16 where that computes. With fp16 it stays in single precision, so that
    sums between the layers, which are not cast, cannot overflow. Full
    training holds single precision always. Where the wanted attention cannot
    be computed here, another is taken, and it is said why.
    """
    attention, reason = usable_attention(options.attention)
    if reason:
        print(f"attention: {attention} instead of {options.attention}: {reason}", flush=True)
    if options.adapter is None:
        return {"attention": attention}
    held = torch.bfloat16 if options.precision == "bf16" else torch.float32
    quantized = quantization.wanted(options.bits, _COMPUTE[options.precision]) if options.adapter == "qlora" else None
    return {"attention": attention, "dtype": held, "quantization": quantized}


def attach(model: VideoModel, options: Train) -> dict[str, int]:
    """Freezes a loaded base and puts adapters on it: ``model.model`` becomes the adapted one.

    The adapters are drawn from the run's seed, and kept in single precision
    whatever the base is in.

    Args:
        model: as loaded with :func:`base_options`.
        options: rank, scale, dropout and targets.

    Returns:
        Numbers of all and of trainable parameters, of adapted and of quantised layers.

    Raises:
        InputError: the targets name no layer, or something that is no linear layer.
        SutureError: what is trained or quantised is not what was asked for.
    """
    base: Any = model.model
    quantized = 0
    if options.adapter == "qlora":
        quantized = quantization.settle(base, model.language_model, _COMPUTE[options.precision], bits=options.bits)
    layers = linear_layers(base)
    expression = target_expression(model, layers, options)
    targets = matched(base, layers, expression, options.lora_targets)
    # DoRA learns the size of each output beside the two matrices.
    sizes = [widths(layers[name]) for name in targets]
    expected = sum(options.r * (before + after) + options.use_dora * after for before, after in sizes)
    whole = _whole(model, options)
    expected += sum(
        p.numel() for n, p in base.named_parameters() if is_inside(n, whole) and not is_inside(n, model.unused)
    )
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=expression,
        use_dora=options.use_dora,
        use_rslora=options.use_rslora,
        fan_in_fan_out=any(isinstance(layers[name], Conv1D) for name in targets),
        modules_to_save=whole or None,
    )
    set_seed(options.seed)
    adapted = wrap(base, config)
    if whole:
        for name, parameter in adapted.named_parameters():
            if is_inside(name.replace(_COPY, ""), [f"{_WRAPPED}{unused}" for unused in model.unused]):
                parameter.requires_grad_(False)
    trainable, total = adapted.get_nb_trainable_parameters()
    names = {name for name, module in adapted.get_base_model().named_modules() if isinstance(module, LoraLayer)}
    if names != set(targets) or trainable != expected:
        raise SutureError(
            f"{trainable} parameters in {len(names)} layers would be trained, "
            f"{expected} in {len(targets)} follow from r and lora_targets",
            fix="use the versions of requirements.lock",
        )
    model.model = adapted
    print(
        f"{options.adapter}: {len(targets)} layers adapted, {quantized} in {options.bits} bits; "
        f"{trainable} of {total} parameters trained ({trainable / total:.4%})"
        + (f", {', '.join(whole)} whole" if whole else ""),
        flush=True,
    )
    return {"total": total, "trainable": trainable, "adapted_layers": len(targets), "quantized_layers": quantized}


def _whole(model: VideoModel, options: Train) -> list[str]:
    """Names the modules whose weights are trained beside the adapters, all of them."""
    if not options.train_projector:
        return []
    if options.blind:
        model.unused = (*model.unused, *model.unseen)
        if "projector" in model.encoders:
            return []
    return list(model.towers["projector"])


def widths(layer: torch.nn.Module) -> tuple[int, int]:
    """Returns the numbers of inputs and outputs of a layer that can be adapted."""
    if isinstance(layer, Conv1D):
        return int(layer.nx), int(layer.nf)
    linear = cast(torch.nn.Linear, layer)
    return linear.in_features, linear.out_features


def linear_layers(model: Any) -> dict[str, torch.nn.Module]:
    """Returns the layers that can be adapted, by name: linear ones, GPT-2's among them, but not the output layer.

    The output layer is often the embedding's transpose: adapted, it could not be merged.
    """
    output = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not output
    }


def target_expression(model: VideoModel, layers: Mapping[str, torch.nn.Module], options: Train) -> str:
    """Returns a regular expression for the whole names of the target layers.

    Args:
        model: says which layers are the language model's, and which the loss never reaches.
        layers: of :func:`linear_layers`.
        options: ``lora_targets`` and, for vision tower and projector, ``lora_vision_targets``.

    Raises:
        InputError: a name is of no layer there.
    """
    if options.lora_targets.startswith("re:"):
        return options.lora_targets.removeprefix("re:")
    reached = [name for name in layers if not is_inside(name, model.unused)]
    # An output layer beside the language model has no adapters: linear_layers leaves it out.
    language = [name for name in reached if is_inside(name, [model.language_model])]
    vision = [name for name in reached if tower_of(name, model.towers) != "language"]
    found = _named("lora_targets", options.lora_targets, language, "the language model")
    if options.lora_vision_targets is not None:
        found += _named("lora_vision_targets", options.lora_vision_targets, vision, "vision tower and projector")
    return _expression(found, layers)


def _named(option: str, targets: str, layers: Sequence[str], where: str) -> list[str]:
    there = sorted({_last(name) for name in layers})
    wanted = there if targets == "all-linear" else targets.split(",")
    unknown = sorted(set(wanted) - set(there))
    if unknown or not wanted:
        raise InputError(
            f"{option}: no linear layer of {where} is named {', '.join(unknown) or 'anything'}",
            fix=f"name some of {', '.join(there)}",
        )
    return [name for name in layers if _last(name) in wanted]


def _last(name: str) -> str:
    # The layers of a sequence have numbers for names: `mlp.0` is what a person would say.
    parts = name.rsplit(".", 2)
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def _expression(found: Sequence[str], layers: Iterable[str]) -> str:
    """Words layer names with any block number where that fits no other layer: an adapter's card stays readable."""
    parts = set()
    for name in found:
        general = re.sub(r"\\\.\d+\\\.", r"\\.\\d+\\.", re.escape(name))
        others = [layer for layer in layers if layer not in found and re.fullmatch(general, layer)]
        parts.add(re.escape(name) if others else general)
    return "|".join(sorted(parts))


def matched(model: Any, layers: dict[str, torch.nn.Module], expression: str, targets: str) -> list[str]:
    """Returns the names of the layers that an expression matches.

    Raises:
        InputError: there is none, or one cannot be adapted.
    """
    found = [name for name, _ in model.named_modules() if re.fullmatch(expression, name)]
    others = [name for name in found if name not in layers]
    if others:
        raise InputError(
            f"lora_targets {targets!r} matches {others[0] or 'the whole model'!r}, which is no inner linear layer",
            fix="let the expression end in the names of linear layers, for example re:.*\\.(q_proj|v_proj)",
        )
    if not found:
        there = sorted({re.sub(r"\.\d+\.", ".N.", name) for name in layers})
        raise InputError(f"lora_targets {targets!r} matches no layer", fix=f"there are: {', '.join(there)}")
    return found


def wrap(base: Any, config: LoraConfig) -> Any:
    """Puts adapters on a base, without the base's path: that is this machine's."""
    listed = Path(base.name_or_path) / "weights.json"
    base.name_or_path = (files.read_json(listed)["model"] if listed.is_file() else None) or ""
    with warnings.catch_warnings():
        # From one library to the other, about a name that is going to change.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        return get_peft_model(base, config)


def is_adapted(model: Any) -> bool:
    """Tells whether a model has adapters."""
    return isinstance(model, PeftModel)


def save(model: Any, folder: Path) -> None:
    """Writes the adapters in the library's layout, without its card: that holds dates and paths."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_state(model), folder / WEIGHTS, metadata={"format": "pt"})
    config = copy.copy(model.peft_config["default"])
    config.inference_mode = True
    config.save_pretrained(str(folder))


def copy_to(checkpoint: Path, folder: Path) -> None:
    """Copies the adapters of a checkpoint, its best ones where they were kept, with the card that predict.py reads.

    Raises:
        InputError: it has none: all weights were trained.
    """
    best = checkpoint / "best"
    source = best if best.is_dir() else checkpoint
    if not (source / WEIGHTS).is_file():
        raise InputError(
            "no adapters in the checkpoint", where=checkpoint, fix="leave out --save-adapter, or train LoRA"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in (source / CONFIG, source / WEIGHTS, checkpoint / model_folder.CARD):
        with files.atomic_path(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)


def restore(model: Any, folder: Path) -> None:
    """Gives a model the adapters of a checkpoint: all of them or none.

    Raises:
        InputError: tensors are missing, left over or of another shape. The
            library would go on with those that fit.
    """
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"no {WEIGHTS} in the checkpoint", where=folder, fix="it is not of a LoRA run")
    saved, ours = load_file(folder / WEIGHTS), _state(model)
    wrong = sorted(
        name
        for name in {*saved, *ours}
        if name not in saved or name not in ours or saved[name].shape != ours[name].shape
    )
    if wrong:
        raise InputError(
            f"{len(wrong)} adapter tensors do not fit the model: {wrong[0]}, ...",
            where=folder / WEIGHTS,
            fix="continue with the base model, r and lora_targets that the run began with",
        )
    set_peft_model_state_dict(model, saved)
    restored = _state(model)
    lost = [name for name in saved if not torch.equal(restored[name].cpu(), saved[name].to(restored[name].dtype))]
    if lost:
        raise SutureError(f"{len(lost)} adapter tensors were not restored: {lost[0]}, ...", where=folder)


def _state(model: Any) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.contiguous() for name, tensor in sorted(found.items())}
