"""What SurgViVQA is made of: three published models put together, or one file of a finished fine-tune.

The published wiring looks GPT-2's token ids up in BLIP's table, whose rows are
BERT's words: each token means another word, and ids beyond that table get
random rows. Put together here, each token of GPT-2 gets the mean of the rows
of its own text's word pieces: the frozen text encoder reads what is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BlipForQuestionAnswering, GPT2LMHeadModel, VideoMAEModel

from suture import pickled
from suture.errors import InputError
from suture.pretrained import load_processor
from suture.surgvivqa_model import SurgVivqaConfig, SurgVivqaModel

Tensors = dict[str, torch.Tensor]

_UNUSED = ("text_encoder.pooler.", "decoder_model.")
"""Of a published file: a layer that nothing reads, and a second name for GPT-2 with its adapters."""
_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])\.(?:\w+\.)?weight")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What became of the tensors of a file.

    ``matched`` counts places of the model that got a tensor, ``missing`` are
    places without one, ``unexpected`` tensors without a place; ``unused`` are
    known parts of a published file that nothing reads.
    """

    matched: int
    missing: list[str]
    unexpected: list[str]
    unused: int
    adapted: int
    lora_alpha: int | None

    @property
    def words(self) -> str:
        """One line for a user."""
        lora = f"; {self.adapted} adapters merged with alpha {self.lora_alpha}" if self.adapted else ""
        return (
            f"{self.matched} tensors matched, {len(self.missing)} missing, {len(self.unexpected)} unexpected, "
            f"{self.unused} of no use{lora}"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**asdict(self), "words": self.words}


def load(
    path: Path, *, num_frames: int, image_size: int, head_width: int, lora_alpha: int
) -> tuple[SurgVivqaModel, Loaded]:
    """Makes a model of a published ``best_model.pth``, of the sizes that its tensors have; adapters are merged.

    Their rank is read from the tensors too. What these do not tell is given:

    Args:
        path: a state dict of the published model, or a checkpoint that holds one.
        num_frames: frames that the video encoder takes; its positions are computed, not stored.
        image_size: of their sides, in pixels.
        head_width: channels of a head, in each attention.
        lora_alpha: scale of the adapters: 32 in the fine-tune on SSG-VQA, 16 upstream.

    Raises:
        InputError: the file asks for code or is damaged, no tensor matches, or
            a tensor is missing or of another shape.
    """
    state = _published_names(_state(pickled.load(path), path))
    used = {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED)}
    merged, adapted = _without_adapters(used, lora_alpha)
    model = SurgVivqaModel(_sizes(merged, path, num_frames=num_frames, image_size=image_size, head_width=head_width))
    wanted = model.state_dict()
    if "llm.lm_head.weight" not in merged and "llm.transformer.wte.weight" in merged:
        merged["llm.lm_head.weight"] = merged["llm.transformer.wte.weight"]
    fitting = {n: t for n, t in merged.items() if n in wanted and t.shape == wanted[n].shape}
    table = Loaded(
        matched=len(fitting),
        missing=sorted(wanted.keys() - fitting.keys()),
        unexpected=sorted(merged.keys() - fitting.keys()),
        unused=len(state) - len(used),
        adapted=adapted,
        lora_alpha=lora_alpha if adapted else None,
    )
    if table.missing:
        raise InputError(
            f"not a whole SurgViVQA: {table.words}; missing: {table.missing[0]}, ...",
            where=path,
            fix="give the whole model's state dict, as the published training saves it",
        )
    model.load_state_dict(fitting)
    model.train(False)
    return model, table


def _state(loaded: Any, where: Path) -> Tensors:
    for holder in ("model_state_dict", "state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(holder), Mapping):
            loaded = loaded[holder]
    if not isinstance(loaded, Mapping) or not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise InputError("the file holds no weights by name", where=where, fix="give a SurgViVQA checkpoint")
    found = {str(name).removeprefix("module."): t for name, t in loaded.items() if isinstance(t, torch.Tensor)}
    if not any(name.startswith(("visual_encoder.", "text_encoder.", "llm.")) for name in found):
        raise InputError(
            f"no tensor of this file has a place in SurgViVQA: 0 matched; it holds {', '.join(sorted(found)[:3])}",
            where=where,
            fix="give a SurgViVQA checkpoint",
        )
    return found


def _published_names(state: Mapping[str, torch.Tensor]) -> Tensors:
    """Takes out what the adapter library puts into names; buffers that are computed are left out."""
    found = {}
    for name, tensor in state.items():
        new = name.replace("llm.base_model.model.", "llm.").replace(".base_layer.", ".")
        # So these were called before transformers 5.
        new = re.sub(r"attention\.attention\.([qv])_bias$", _as_layer, new)
        if not new.endswith((".position_ids", ".attn.bias", ".attn.masked_bias")):
            found[new] = tensor
    return found


def _as_layer(match: re.Match[str]) -> str:
    return f"attention.attention.{'query' if match[1] == 'q' else 'value'}.bias"


def _without_adapters(state: Tensors, alpha: int) -> tuple[Tensors, int]:
    """Adds each pair of adapters to its layer: W + alpha / r (B A), transposed as GPT-2 stores its layers."""
    pairs: dict[str, Tensors] = {}
    rest = {}
    for name, tensor in state.items():
        if match := _LORA.fullmatch(name):
            pairs.setdefault(match["layer"], {})[match["side"]] = tensor.float()
        else:
            rest[name] = tensor
    for layer, pair in pairs.items():
        weight = f"{layer}.weight"
        if {"A", "B"} <= pair.keys() and weight in rest:
            scale = alpha / pair["A"].shape[0]
            rest[weight] = rest[weight].float() + scale * (pair["B"] @ pair["A"]).T
        else:
            rest |= {f"{layer}.lora_{side}.weight": tensor for side, tensor in pair.items()}
    return rest, len(pairs)


def _sizes(
    found: Mapping[str, torch.Tensor], where: Path, *, num_frames: int, image_size: int, head_width: int
) -> SurgVivqaConfig:
    """Reads the sizes of the model from the shapes of its tensors."""
    try:
        patch = found["visual_encoder.embeddings.patch_embeddings.projection.weight"].shape
        words = found["text_encoder.embeddings.word_embeddings.weight"].shape
        wte = found["llm.transformer.wte.weight"].shape
        video = {
            "hidden_size": patch[0],
            "tubelet_size": patch[2],
            "patch_size": patch[3],
            "num_hidden_layers": _layers(found, "visual_encoder.encoder.layer"),
            "intermediate_size": found["visual_encoder.encoder.layer.0.intermediate.dense.weight"].shape[0],
            "num_attention_heads": patch[0] // head_width,
            "num_frames": num_frames,
            "image_size": image_size,
            "use_mean_pooling": "visual_encoder.layernorm.weight" not in found,
        }
        fusion = {
            "vocab_size": words[0],
            "hidden_size": words[1],
            "encoder_hidden_size": found["text_encoder.encoder.layer.0.crossattention.self.key.weight"].shape[1],
            "intermediate_size": found["text_encoder.encoder.layer.0.intermediate.dense.weight"].shape[0],
            "num_hidden_layers": _layers(found, "text_encoder.encoder.layer"),
            "num_attention_heads": words[1] // head_width,
            "max_position_embeddings": found["text_encoder.embeddings.position_embeddings.weight"].shape[0],
        }
        text = {
            "vocab_size": wte[0],
            "n_embd": wte[1],
            "n_layer": _layers(found, "llm.transformer.h"),
            "n_head": wte[1] // head_width,
            "n_positions": found["llm.transformer.wpe.weight"].shape[0],
            "n_inner": found["llm.transformer.h.0.mlp.c_fc.weight"].shape[1],
        }
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"not a SurgViVQA with GPT-2: no {error}", where=where) from error
    widths = {"video": patch[0], "text": words[1], "language": wte[1]}
    if odd := [f"{tower} {width}" for tower, width in widths.items() if width % head_width]:
        raise InputError(f"heads {head_width} wide do not divide the widths: {', '.join(odd)}", where=where)
    if num_frames % patch[2] or image_size % patch[3]:
        raise InputError(
            f"{num_frames} frames of {image_size} pixels are not whole patches, {patch[2]} frames of {patch[3]} pixels",
            where=where,
        )
    return SurgVivqaConfig(video_config=video, reader_config=fusion, text_config=text)


def _layers(found: Mapping[str, torch.Tensor], prefix: str) -> int:
    return 1 + max(int(name[len(prefix) + 1 :].split(".")[0]) for name in found if name.startswith(f"{prefix}."))


def rows_by_text(texts: Sequence[str], pieces: Any, rows: torch.Tensor) -> torch.Tensor:
    """Returns a row for each text: the mean of the rows of its word pieces, [texts, width].

    Args:
        texts: what each token of the new vocabulary stands for.
        pieces: the tokenizer that ``rows`` belong to; it may not add tokens of its own.
        rows: of its vocabulary, [pieces, width]. A text of no piece, such as a line break, gets the mean of all rows.
    """
    average = rows.mean(dim=0)
    read = pieces(list(texts), add_special_tokens=False).input_ids
    return torch.stack([rows[torch.tensor(ids)].mean(dim=0) if ids else average for ids in read])


def assemble(video: Path, fusion: Path, text: Path) -> tuple[SurgVivqaModel, Any]:
    """Puts VideoMAE, BLIP's text encoder and GPT-2 together.

    Args:
        video: folder of a VideoMAE.
        fusion: folder of a BLIP that answers questions, with its tokenizer.
        text: folder of a GPT-2, with its tokenizer.

    Returns:
        The model, in which each token of GPT-2 has a row in BLIP's space, and GPT-2's tokenizer.

    Raises:
        InputError: a folder holds no such model.
    """
    encoder = _part(VideoMAEModel, video)
    blip = _part(BlipForQuestionAnswering, fusion).text_encoder
    language = _part(GPT2LMHeadModel, text)
    tokenizer, pieces = load_processor(text, AutoTokenizer), load_processor(fusion, AutoTokenizer)
    sizes = {"video_config": encoder.config, "reader_config": blip.config, "text_config": language.config}
    config = SurgVivqaConfig(**{name: part.to_dict() for name, part in sizes.items()})
    parts: Any = config
    parts.reader_config.vocab_size, parts.reader_config.is_decoder = len(tokenizer), True
    parts.reader_config.pad_token_id = None
    parts.video_config.num_frames = 16
    texts = [tokenizer.decode([number], clean_up_tokenization_spaces=False) for number in range(len(tokenizer))]
    state = blip.state_dict()
    words = "embeddings.word_embeddings.weight"
    state[words] = rows_by_text(texts, pieces, state[words])
    model = SurgVivqaModel(config)
    model.visual_encoder.load_state_dict(encoder.state_dict())
    model.text_encoder.load_state_dict({name: t for name, t in state.items() if not name.startswith("pooler.")})
    model.llm.load_state_dict(language.state_dict())
    return model, tokenizer


def _part(kind: Any, folder: Path) -> Any:
    # Published files hold more than the part that is used: a decoder for pretraining, a vision tower.
    try:
        model, report = kind.from_pretrained(folder, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise InputError(f"not a folder of {kind.__name__}: {error}", where=folder) from error
    if missing := sorted(map(str, report["missing_keys"])):
        raise InputError(f"{len(missing)} tensors of {kind.__name__} are missing: {missing[0]}, ...", where=folder)
    return model
