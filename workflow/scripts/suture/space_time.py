"""ViT with divided space-time attention, under the names and shapes of Endo-FM's and TimeSformer's files.

Bertasius, Wang and Torresani, Is Space-Time Attention All You Need for Video
Understanding? (ICML 2021), "divided space-time": in each block every patch
first attends to itself over time, then each frame's patches to each other and
to the class token, then comes the MLP. ``D`` is the width of the tokens,
``T`` the frames, ``P`` the patches of a frame.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import interpolate, scaled_dot_product_attention
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

MEAN, SPREAD = 0.45, 0.225
"""What pixels in 0 to 1 are normalised by, each channel alike (PySlowFast's DATA.MEAN and DATA.STD)."""


class SpaceTimeConfig(PreTrainedConfig):
    """Sizes of a space-time transformer; the defaults are the published ViT-B/16 on 8 frames.

    ``classes`` are the names of the classes in the order of the head's rows.
    """

    model_type = "endofm"

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        num_frames: int = 8,
        hidden_size: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.1,
        spread: float = 0.02,
        classes: list[str] | None = None,
        **kwargs: object,
    ) -> None:
        self.image_size = image_size
        self.patch_size = patch_size
        self.num_frames = num_frames
        self.hidden_size = hidden_size
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.drop_path_rate = drop_path_rate
        self.spread = spread
        self.classes = list(classes or ["0", "1"])
        super().__init__(**kwargs)  # type: ignore[arg-type]

    @property
    def patches(self) -> int:
        """Patches of one frame of the size that the position embeddings are for."""
        return (self.image_size // self.patch_size) ** 2


class Silent(nn.Linear):
    """A linear layer that starts without effect."""


class HeadLinear(nn.Linear):
    """A linear layer that starts close to none."""


class Attention(nn.Module):
    """Self-attention within each row of a batch, [rows, tokens, D]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(rows, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        out: torch.Tensor = self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        return out


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class DropPath(nn.Module):
    """Leaves out a residual branch for whole rows, in training, with the given probability; the others are scaled."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand((len(x), *[1] * (x.ndim - 1)), device=x.device, dtype=x.dtype) >= self.rate
        return x * kept / (1 - self.rate)


class Block(GradientCheckpointingLayer):
    """Attention over time, attention over space, MLP."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.temporal_norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.temporal_attn = Attention(dim, heads)
        self.temporal_fc = Silent(dim, dim)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """Maps tokens to tokens, [B, 1 + P T, D]: the class token, then the patches, each patch's T frames together."""
        batch, tokens, dim = x.shape
        patches = (tokens - 1) // frames
        first, rest = x[:, :1], x[:, 1:]

        over_time = rest.reshape(batch * patches, frames, dim)
        over_time = self.drop_path(self.temporal_attn(self.temporal_norm1(over_time)))
        rest = rest + self.temporal_fc(over_time.reshape(batch, patches * frames, dim))

        # Each frame has the class token as its own; what they become is averaged.
        of_frame = rest.view(batch, patches, frames, dim).transpose(1, 2).reshape(batch * frames, patches, dim)
        own = first.expand(batch, frames, dim).reshape(batch * frames, 1, dim)
        over_space = self.drop_path(self.attn(self.norm1(torch.cat([own, of_frame], dim=1))))
        firsts = over_space[:, 0].view(batch, frames, dim).mean(dim=1, keepdim=True)
        moved = over_space[:, 1:].reshape(batch, frames, patches, dim).transpose(1, 2)
        x = torch.cat([first + firsts, rest + moved.reshape(batch, patches * frames, dim)], dim=1)
        out: torch.Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class PatchEmbed(nn.Module):
    """One linear map of each patch of each frame."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.proj(pictures)
        return out


class VisionTransformer(nn.Module):
    """The backbone; its parameters have the names and shapes of the published files.

    Args:
        config: sizes.
    """

    def __init__(self, config: SpaceTimeConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.patches + 1, dim))
        self.time_embed = nn.Parameter(torch.zeros(1, config.num_frames, dim))
        rates = torch.linspace(0, config.drop_path_rate, config.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(dim, config.num_heads, config.mlp_ratio, rate) for rate in rates)
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """Maps normalised videos [B, 3, T, height, width] to their class tokens, [B, D].

        Where the embeddings are for another number of frames or another size of pictures, the nearest of them are
        taken, as published.
        """
        batch, _, frames, _, _ = video.shape
        grid = self.patch_embed(video.transpose(1, 2).flatten(0, 1))
        patches = grid.flatten(2).transpose(1, 2) + self._places(grid.shape[2], grid.shape[3])
        dim = patches.shape[2]
        by_patch = patches.view(batch, frames, -1, dim).transpose(1, 2)
        by_patch = by_patch + resized(self.time_embed, frames)[:, None]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(batch, 1, dim)
        x = torch.cat([first, by_patch.reshape(batch, -1, dim)], dim=1)
        for block in self.blocks:
            x = block(x, frames)
        # Only the class token is read, and each token is normalised by itself.
        out: torch.Tensor = self.norm(x[:, 0])
        return out

    def _places(self, height: int, width: int) -> torch.Tensor:
        """Returns the position embeddings of a grid of patches, [1, height x width, D]."""
        known = self.pos_embed[:, 1:]
        side = round(known.shape[1] ** 0.5)
        if (height, width) == (side, side):
            return known
        grid = known.transpose(1, 2).view(1, -1, side, side)
        return interpolate(grid, size=(height, width), mode="nearest").flatten(2).transpose(1, 2)


def resized(time_embed: torch.Tensor, frames: int) -> torch.Tensor:
    """Returns time embeddings [1, n, D] for another number of frames, the nearest of them, as published."""
    if time_embed.shape[1] == frames:
        return time_embed
    return interpolate(time_embed.transpose(1, 2), size=frames, mode="nearest").transpose(1, 2)


class LinearClassifier(nn.Module):
    """The published head: one linear layer on the class token."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.linear = HeadLinear(dim, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x)
        return out


class SpaceTimeClassifier(PreTrainedModel):
    """Backbone and head, saved and loaded by the library as its own models are.

    Args:
        config: sizes and class names.
    """

    config_class = SpaceTimeConfig
    base_model_prefix = "backbone"
    main_input_name = "pixels"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: SpaceTimeConfig) -> None:
        super().__init__(config)
        self.backbone = VisionTransformer(config)
        self.head = LinearClassifier(config.hidden_size, len(config.classes))
        PreTrainedModel.post_init(self)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Maps frames as they are cached, uint8 [B, T, height, width, RGB], to logits [B, classes].

        Whole pictures cross to the device as bytes and are normalised there.
        """
        video = pixels.permute(0, 4, 1, 2, 3).to(self.head.linear.weight.dtype).div(255).sub(MEAN).div(SPREAD)
        out: torch.Tensor = self.head(self.backbone(video))
        return out

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draws new weights as published: 0.02 wide (``spread``), attention over time without effect, a small head."""
        if isinstance(module, VisionTransformer):
            for embedding in (module.pos_embed, module.cls_token):
                nn.init.trunc_normal_(embedding, std=self.config.spread)
            nn.init.zeros_(module.time_embed)
        elif isinstance(module, Silent):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, HeadLinear):
            new_head(module)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=self.config.spread)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def new_head(linear: nn.Linear) -> None:
    """Draws a head as published: weights 0.01 wide, no bias."""
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
