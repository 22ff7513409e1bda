"""SurgViVQA's network, of the library's own classes: VideoMAE, BLIP's text encoder, GPT-2.

BLIP's text encoder reads the tokens and looks at the video by cross-attention;
what it makes of each token is what GPT-2 reads in place of its own embedding
(the published ``models/model.py``). There the text encoder sees both ways: a
token's state knows the tokens after it, so that GPT-2 is told the answer which
it is asked for. Here both see earlier tokens only, by one mask, and a test
holds that no output moves when later tokens change.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    BlipTextConfig,
    GenerationMixin,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedConfig,
    PreTrainedModel,
    VideoMAEConfig,
    VideoMAEModel,
)
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions
from transformers.models.blip.modeling_blip_text import BlipTextModel

PARTS: dict[str, Any] = {"video_config": VideoMAEConfig, "reader_config": BlipTextConfig, "text_config": GPT2Config}


class SurgVivqaConfig(PreTrainedConfig):
    """Sizes of the three parts; the defaults are the published ones.

    ``reader_config`` is of BLIP's text encoder: its vocabulary is that of
    GPT-2's tokenizer, its ``encoder_hidden_size`` the width of the video's tokens.
    """

    model_type = "surgvivqa"
    sub_configs = PARTS

    def __init__(
        self,
        video_config: dict[str, Any] | PreTrainedConfig | None = None,
        reader_config: dict[str, Any] | PreTrainedConfig | None = None,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        **kwargs: Any,
    ) -> None:
        given = {"video_config": video_config, "reader_config": reader_config, "text_config": text_config}
        for name, value in given.items():
            made = value if isinstance(value, PreTrainedConfig) else PARTS[name](**{**PUBLISHED[name], **(value or {})})
            setattr(self, name, made)
        super().__init__(**{"tie_word_embeddings": True, **kwargs})

    def get_text_config(self, *_: Any, **__: Any) -> Any:
        """Returns GPT-2's part: it is what writes."""
        return self.text_config


PUBLISHED: dict[str, dict[str, Any]] = {
    # MCG-NJU/videomae-base, with the 16 frames of the published fine-tune.
    "video_config": {"num_frames": 16, "use_mean_pooling": False},
    # Salesforce/blip-vqa-base, with a row for each token of GPT-2.
    "reader_config": {
        "vocab_size": 50257,
        "hidden_size": 768,
        "encoder_hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 512,
        "is_decoder": True,
        "pad_token_id": None,
    },
    "text_config": {},
}


class SurgVivqaModel(PreTrainedModel, GenerationMixin):
    """The three parts, under the names of the published files.

    Args:
        config: sizes.
    """

    config_class = SurgVivqaConfig
    base_model_prefix = "llm"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: SurgVivqaConfig) -> None:
        super().__init__(config)
        parts: Any = config
        parts.reader_config._attn_implementation = "eager"  # its class knows no other
        self.visual_encoder = VideoMAEModel(parts.video_config)
        self.text_encoder = BlipTextModel(parts.reader_config, add_pooling_layer=False)
        self.llm = GPT2LMHeadModel(parts.text_config)
        PreTrainedModel.post_init(self)

    def get_input_embeddings(self) -> Any:
        """Returns the table in which tokens are looked up: BLIP's."""
        return self.text_encoder.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """Replaces it."""
        self.text_encoder.set_input_embeddings(value)

    def get_output_embeddings(self) -> Any:
        """Returns GPT-2's output layer."""
        return self.llm.get_output_embeddings()

    def video_states_of(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encodes normalised videos [B, frames, 3, height, width]: [B, tokens, width]."""
        states: torch.Tensor = self.visual_encoder(pixel_values=pixels).last_hidden_state
        return states

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        video_states: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **_: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """Computes logits [B, kept tokens, vocabulary].

        Args:
            input_ids: [B, tokens].
            attention_mask: [B, tokens], 0 on padding; or bool [B, 1, tokens, tokens]: which token sees which.
            position_ids: [B, tokens]; None: they count each row's tokens without its padding.
            pixel_values: normalised videos, [B, frames, 3, height, width].
            video_states: what :meth:`video_states_of` made of them, in their place; with neither nothing is shown.
            logits_to_keep: how many of the last tokens, or which, get logits; 0: all.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if position_ids is None:
            position_ids = (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)
        seen = attention_mask if attention_mask.ndim == 4 else earlier(attention_mask)
        if video_states is None and pixel_values is not None:
            video_states = self.video_states_of(pixel_values)
        fused = self._fused(input_ids, seen, position_ids, video_states)
        out: CausalLMOutputWithCrossAttentions = self.llm(
            inputs_embeds=fused,
            attention_mask=_added(seen, fused.dtype),
            position_ids=position_ids,
            use_cache=False,
            logits_to_keep=logits_to_keep,
        )
        return out

    def _fused(
        self, ids: torch.Tensor, seen: torch.Tensor, positions: torch.Tensor, video: torch.Tensor | None
    ) -> torch.Tensor:
        """Returns what the text encoder makes of each token, looking at the video: [B, tokens, width]."""
        dtype = self.text_encoder.dtype
        states: torch.Tensor = self.text_encoder(
            input_ids=ids,
            attention_mask=_added(seen, dtype),
            position_ids=positions,
            encoder_hidden_states=None if video is None else video.to(dtype),
            is_decoder=True,
            use_cache=False,
        ).last_hidden_state
        return states


def earlier(mask: torch.Tensor) -> torch.Tensor:
    """Returns which token sees which of a batch [B, tokens]: itself and those before it that are no padding.

    Bool [B, 1, tokens, tokens]. Padding sees itself: a row that sees nothing would have no softmax.
    """
    tokens = mask.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(tokens, dtype=torch.bool, device=mask.device)
    return ((causal & mask.bool()[:, None, :]) | itself)[:, None]


def _added(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    # Both attentions add their mask.
    least = torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, least)
