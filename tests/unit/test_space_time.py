"""The space-time transformer against a reference written from the paper, and against the library's TimeSformer."""

from __future__ import annotations

import math
from typing import Any

import pytest

from suture import libraries

libraries.prepare(threads=1)

import torch  # noqa: E402
from transformers import TimesformerConfig, TimesformerModel  # noqa: E402

from suture.space_time import MEAN, SPREAD, SpaceTimeClassifier, SpaceTimeConfig, VisionTransformer, resized  # noqa: E402

SIZES: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 4,
    "hidden_size": 24,
    "depth": 2,
    "num_heads": 3,
    "drop_path_rate": 0.0,
}


@pytest.fixture
def backbone() -> VisionTransformer:
    torch.manual_seed(3)
    made = SpaceTimeClassifier(SpaceTimeConfig(**SIZES)).backbone.eval()
    for parameter in made.parameters():  # nothing is zero, so that nothing can be left out
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def video(frames: int = 4, size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def attend(tokens: torch.Tensor, state: dict[str, torch.Tensor], name: str, heads: int) -> torch.Tensor:
    """Multi-head self-attention of one sequence [n, D]: equations 5 to 8 of the paper, head by head."""
    q, k, v = (tokens @ state[f"{name}.qkv.weight"].T + state[f"{name}.qkv.bias"]).chunk(3, dim=-1)
    width = tokens.shape[1] // heads
    outs = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = (q[:, part] @ k[:, part].T / math.sqrt(width)).softmax(dim=-1)
        outs.append(scores @ v[:, part])
    return torch.cat(outs, dim=-1) @ state[f"{name}.proj.weight"].T + state[f"{name}.proj.bias"]


def reference(state: dict[str, torch.Tensor], one: torch.Tensor, depth: int = 2, heads: int = 3) -> torch.Tensor:
    """Divided space-time attention of one video [3, T, H, W], written from Bertasius et al. 2021 with loops.

    A token is z[p, t]; z_cls is the class token.
    """

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-6).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    patch = state["patch_embed.proj.weight"].shape[-1]
    weight = state["patch_embed.proj.weight"].flatten(1)
    frames, side = one.shape[1], one.shape[2] // patch
    z = torch.empty(side * side, frames, weight.shape[0])
    for p in range(side * side):
        y, x = p // side * patch, p % side * patch
        for t in range(frames):
            pixels = one[:, t, y : y + patch, x : x + patch].flatten()
            embedded = weight @ pixels + state["patch_embed.proj.bias"]
            z[p, t] = embedded + state["pos_embed"][0, 1 + p] + state["time_embed"][0, t]
    cls = state["cls_token"][0, 0] + state["pos_embed"][0, 0]
    for n in range(depth):
        block = f"blocks.{n}"
        # Over time: each patch with itself in all frames.
        over_time = torch.stack(
            [
                attend(norm(z[p], f"{block}.temporal_norm1"), state, f"{block}.temporal_attn", heads)
                for p in range(len(z))
            ]
        )
        z = z + over_time @ state[f"{block}.temporal_fc.weight"].T + state[f"{block}.temporal_fc.bias"]
        # Over space: all patches of a frame, and the class token.
        moved, seen = torch.empty_like(z), []
        for t in range(frames):
            out = attend(norm(torch.cat([cls[None], z[:, t]]), f"{block}.norm1"), state, f"{block}.attn", heads)
            seen.append(out[0])
            moved[:, t] = out[1:]
        cls, z = cls + torch.stack(seen).mean(0), z + moved

        def mlp(x: torch.Tensor, block: str = block) -> torch.Tensor:
            hidden = norm(x, f"{block}.norm2") @ state[f"{block}.mlp.fc1.weight"].T + state[f"{block}.mlp.fc1.bias"]
            hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
            return hidden @ state[f"{block}.mlp.fc2.weight"].T + state[f"{block}.mlp.fc2.bias"]

        cls, z = cls + mlp(cls), z + mlp(z)
    return norm(cls, "norm")


def test_the_forward_is_that_of_the_paper(backbone: VisionTransformer) -> None:
    state, shown = backbone.state_dict(), video()
    with torch.no_grad():
        ours = backbone(shown)
    for row in range(2):
        assert torch.allclose(ours[row], reference(state, shown[row]), atol=2e-5)


def library_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renames tensors to those of transformers' TimesformerModel."""
    found = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.position_embeddings": state["pos_embed"],
        "embeddings.time_embeddings": state["time_embed"],
    }
    parts = {
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.qkv": "attention.attention.qkv",
        "attn.proj": "attention.output.dense",
        "temporal_norm1": "temporal_layernorm",
        "temporal_attn.qkv": "temporal_attention.attention.qkv",
        "temporal_attn.proj": "temporal_attention.output.dense",
        "temporal_fc": "temporal_dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    for name, tensor in state.items():
        stem, _, kind = name.rpartition(".")
        if stem.startswith("blocks."):
            _, number, inner = stem.split(".", 2)
            found[f"encoder.layer.{number}.{parts[inner]}.{kind}"] = tensor
        elif stem == "norm":
            found[f"layernorm.{kind}"] = tensor
        elif stem:
            found[f"{parts[stem]}.{kind}"] = tensor
    return found


@pytest.mark.parametrize(("frames", "size"), [(4, 32), (8, 32), (2, 32), (4, 64)])
def test_it_computes_what_the_librarys_timesformer_does(backbone: VisionTransformer, frames: int, size: int) -> None:
    """Also with pictures of another size, to which both stretch their embeddings.

    The library divides tokens by its configuration's number of frames, so for another number it is told that.
    """
    config = TimesformerConfig(
        image_size=32,
        patch_size=8,
        num_frames=frames,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        drop_path_rate=0,
        layer_norm_eps=1e-6,
        attention_type="divided_space_time",
        attn_implementation="eager",
    )
    theirs = TimesformerModel(config).eval()
    theirs.load_state_dict(
        library_names({**backbone.state_dict(), "time_embed": resized(backbone.time_embed.detach(), frames)})
    )
    shown = video(frames, size)
    with torch.no_grad():
        expected = theirs(shown.transpose(1, 2)).last_hidden_state[:, 0]
        assert torch.allclose(backbone(shown), expected, atol=2e-5)


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = SpaceTimeClassifier(SpaceTimeConfig())
    shapes = {name: list(tensor.shape) for name, tensor in model.backbone.state_dict().items()}
    block = {
        "norm1.weight": [768], "norm1.bias": [768],
        "attn.qkv.weight": [2304, 768], "attn.qkv.bias": [2304],
        "attn.proj.weight": [768, 768], "attn.proj.bias": [768],
        "temporal_norm1.weight": [768], "temporal_norm1.bias": [768],
        "temporal_attn.qkv.weight": [2304, 768], "temporal_attn.qkv.bias": [2304],
        "temporal_attn.proj.weight": [768, 768], "temporal_attn.proj.bias": [768],
        "temporal_fc.weight": [768, 768], "temporal_fc.bias": [768],
        "norm2.weight": [768], "norm2.bias": [768],
        "mlp.fc1.weight": [3072, 768], "mlp.fc1.bias": [3072], "mlp.fc2.weight": [768, 3072], "mlp.fc2.bias": [768],
    }  # fmt: skip
    assert shapes == {
        "cls_token": [1, 1, 768],
        "pos_embed": [1, 197, 768],
        "time_embed": [1, 8, 768],
        "patch_embed.proj.weight": [768, 3, 16, 16],
        "patch_embed.proj.bias": [768],
        **{f"blocks.{n}.{name}": shape for n in range(12) for name, shape in block.items()},
        "norm.weight": [768],
        "norm.bias": [768],
    }


def test_pixels_are_normalised_as_published(backbone: VisionTransformer) -> None:
    model = SpaceTimeClassifier(SpaceTimeConfig(**SIZES)).eval()
    pixels = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    by_hand = (pixels.permute(0, 4, 1, 2, 3) / 255 - 0.45) / 0.225
    assert (MEAN, SPREAD) == (0.45, 0.225)
    with torch.no_grad():
        assert torch.allclose(model(pixels), model.head(model.backbone(by_hand)), atol=1e-5)


def test_time_embeddings_become_the_nearest_ones() -> None:
    embed = torch.arange(8.0).view(1, 8, 1)
    assert resized(embed, 32).flatten().tolist() == [n // 4 for n in range(32)]
    assert resized(embed, 4).flatten().tolist() == [0, 2, 4, 6]
    assert resized(embed, 8) is embed


def test_new_weights_start_without_motion_and_with_a_small_head() -> None:
    model = SpaceTimeClassifier(SpaceTimeConfig(**{**SIZES, "hidden_size": 96}))
    for name, parameter in model.named_parameters():
        if "temporal_fc" in name or name.endswith("bias"):
            assert not parameter.any(), name
    assert 0.005 < model.head.linear.weight.std() < 0.015
    assert 0.018 < model.backbone.pos_embed.std() < 0.022
