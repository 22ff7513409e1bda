"""LLaVA-Med's own checkpoints, of 1.0 and 1.5, written for the library's LLaVA: names changed, numbers kept.

Own layout: ``model.layers...``, ``model.mm_projector...`` and, of 1.5, the
vision tower inside ``model.vision_tower.vision_tower``. Tensor by tensor, in
the memory of the largest one.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoConfig, AutoTokenizer, CLIPImageProcessor, CLIPVisionConfig, LlavaConfig

from suture import files, model_folder
from suture.errors import InputError
from suture.models import llava_med
from suture.pretrained import load_processor
from suture.tensor_files import Spec, TensorFolder, write

_LANGUAGE = {
    "llava": "llama",
    "llava_llama": "llama",
    "llava_mistral": "mistral",
    "llama": "llama",
    "mistral": "mistral",
}
"""``model_type`` in an own config.json to that of its language model."""
_OWN_KEYS = re.compile(
    r"mm_|.*mm_|image_aspect|image_grid|tune_|freeze_|use_mm|tokenizer_|model_type|architectures|_name"
)
_INSIDE = "model.vision_tower.vision_tower.vision_model."
_COMPUTED = re.compile(r".*(rotary_emb\.inv_freq|embeddings\.position_ids)")
_IMAGE = "<image>"
# Names in files are those that the library itself writes; its modules are called otherwise.
_LANGUAGE_MODEL, _VISION, _PROJECTOR = "language_model.model", "vision_tower", "multi_modal_projector"
_GROWN = (f"{_LANGUAGE_MODEL}.embed_tokens.weight", "language_model.lm_head.weight")


def convert(source: Path, vision: Path | None, output: Path) -> dict[str, Any]:
    """Writes an own checkpoint as a folder of family llava_med.

    Args:
        source: config.json, tokenizer and weights, as published (1.0: with its delta applied).
        vision: folder of the CLIP model whose tower it sees with; for its configuration and image processor, and for
            its weights where the checkpoint has none.
        output: the folder to write, as a whole or not at all.

    Returns:
        How many tensors are from the checkpoint, from the vision tower, and made here.

    Raises:
        InputError: another layout, or a tensor that has no place; it is named.
    """
    own = files.read_json(source / "config.json")
    language = _LANGUAGE.get(str(own.get("model_type")))
    tensors = TensorFolder(source)
    if language is None or not any(".mm_projector." in name for name in tensors.specs):
        raise InputError(
            f"no checkpoint in LLaVA-Med's own layout: model_type {own.get('model_type')!r}",
            where=source,
            fix="a folder of model.layers... and model.mm_projector...; of 1.0 the sum of base and delta",
        )
    if vision is None:
        raise InputError(
            f"the vision tower is needed: {own.get('mm_vision_tower', 'openai/clip-vit-large-patch14')}",
            fix="--vision-tower DIR",
        )
    tower = TensorFolder(vision)
    tower_config = _vision_config(vision)
    tokenizer = load_processor(source, AutoTokenizer)
    image_id, rows = _image_token(tokenizer, tensors.specs["model.embed_tokens.weight"].shape[0])
    plan = _plan(tensors, tower, rows)
    linear = "model.mm_projector.weight" in tensors.specs
    width = tensors.specs["model.norm.weight"].shape[0]
    dtype = tensors.specs["model.norm.weight"].dtype
    specs = {name: spec for name, (spec, _, _) in plan.items()}
    identity = {
        f"{_PROJECTOR}.linear_2.weight": Spec(dtype=dtype, shape=(width, width)),
        f"{_PROJECTOR}.linear_2.bias": Spec(dtype=dtype, shape=(width,)),
    }
    specs |= identity if linear else {}

    def make(name: str) -> torch.Tensor:
        if name not in plan:
            made = torch.zeros(specs[name].shape, dtype=dtype)
            return made.fill_diagonal_(1) if made.ndim == 2 else made
        spec, holder, theirs = plan[name]
        found = holder.read(theirs)
        if found.shape[0] < spec.shape[0] and name in _GROWN:
            # As a row of its own the image's token would score 0; as the mean of all it never is the likeliest.
            mean = found.float().mean(dim=0, keepdim=True).to(found.dtype)
            found = torch.cat([found, mean.expand(spec.shape[0] - found.shape[0], -1)])
        return found.to(spec.dtype)

    config = _config(own, language, tower_config, image_id, rows, linear=linear)
    with files.atomic_dir(output) as temporary:
        write(temporary, specs, make, what="tensors")
        config.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        load_processor(vision, CLIPImageProcessor).save_pretrained(temporary)
        page = source / model_folder.PAGE
        if page.is_file():
            shutil.copy2(page, temporary)
        prompt = llava_med.SYSTEM_PROMPT if language == "llama" else ""
        model_folder.write_card(temporary, family=llava_med.NAME, system_prompt=prompt)
    counted = [holder is tower for _, holder, _ in plan.values()]
    return {
        "checkpoint": counted.count(False),
        "vision_tower": counted.count(True),
        "made": len(identity) if linear else 0,
        "projector": "linear" if linear else "mlp",
        "language": language,
    }


def _plan(tensors: TensorFolder, tower: TensorFolder, rows: int) -> dict[str, tuple[Spec, TensorFolder, str]]:
    """Says where each tensor of the converted model comes from."""
    plan: dict[str, tuple[Spec, TensorFolder, str]] = {}
    for theirs, spec in tensors.specs.items():
        if _COMPUTED.fullmatch(theirs):
            continue
        name = renamed(theirs)
        if name is None:
            raise InputError(
                f"{theirs} has no place in LLaVA", where=tensors.folder, fix="is it LLaVA-Med's own layout?"
            )
        shape = (rows, *spec.shape[1:]) if name in _GROWN else spec.shape
        plan[name] = (Spec(dtype=spec.dtype, shape=shape), tensors, theirs)
    if not any(name.startswith(f"{_VISION}.") for name in plan):
        dtype = tensors.specs["model.norm.weight"].dtype
        for theirs, spec in tower.specs.items():
            if theirs.startswith("vision_model.") and not _COMPUTED.fullmatch(theirs):
                name = f"{_VISION}.{theirs.removeprefix('vision_model.')}"
                plan[name] = (Spec(dtype=dtype, shape=spec.shape), tower, theirs)
    return plan


def renamed(theirs: str) -> str | None:
    """Returns the library's name of a tensor of the own layout; None where it has no place."""
    if theirs.startswith(_INSIDE):
        return f"{_VISION}.{theirs.removeprefix(_INSIDE)}"
    layer = re.fullmatch(r"model\.mm_projector\.(?:(0|2)\.)?(weight|bias)", theirs)
    if layer:
        return f"{_PROJECTOR}.linear_{2 if layer[1] == '2' else 1}.{layer[2]}"
    if re.match(r"model\.(layers|norm|embed_tokens)\.", theirs):
        return theirs.replace("model.", f"{_LANGUAGE_MODEL}.", 1)
    return _GROWN[1] if theirs == "lm_head.weight" else None


def _vision_config(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise InputError("no config.json", where=folder, fix="give the folder of a CLIP model")
    config = AutoConfig.from_pretrained(folder)
    found = getattr(config, "vision_config", config)
    if not isinstance(found, CLIPVisionConfig):
        raise InputError(f"a model of type {config.model_type!r}, not CLIP", where=folder)
    return found


def _image_token(tokenizer: Any, rows: int) -> tuple[int, int]:
    """Returns the id of the token that stands for an image, and how many rows the embedding then has."""
    if llava_med.PATCH in tokenizer.get_vocab():
        return int(tokenizer.convert_tokens_to_ids(llava_med.PATCH)), rows
    tokenizer.add_tokens([AddedToken(_IMAGE, normalized=False, special=True)], special_tokens=True)
    image_id = int(tokenizer.convert_tokens_to_ids(_IMAGE))
    return image_id, max(rows, image_id + 1)


def _config(
    own: Mapping[str, Any], language: str, vision: Any, image_id: int, rows: int, *, linear: bool
) -> LlavaConfig:
    kept = {name: value for name, value in own.items() if not _OWN_KEYS.match(name)}
    dtype = kept.pop("torch_dtype", kept.pop("dtype", None))
    text = {**kept, "model_type": language, "vocab_size": rows}
    made = LlavaConfig(
        text_config=text,
        vision_config=vision.to_dict(),
        image_token_index=image_id,
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        projector_hidden_act="linear" if linear else "gelu",
        vision_feature_layer=int(own.get("mm_vision_select_layer", -2)),
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    if dtype:
        made.dtype = dtype
    return made
