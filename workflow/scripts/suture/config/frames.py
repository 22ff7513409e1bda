"""Which frames of a clip a model sees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from suture.config.section import Section
from suture.frame_draws import Method


class Frames(Section):
    """Which frames of a clip a model sees, and their size (`cache_frames`)."""

    count: int | None = Field(None, ge=1, description="Frames a clip. Give this or `fps`.")
    fps: float | None = Field(None, gt=0, description="Frames a second of clip, as the published script samples.")
    train_sampling: Method = Field(
        "middle",
        description="With `count`, which frames training sees. `middle`: the middle of each of `count` equal parts. "
        "`uniform`: from the first frame to the last. Drawn anew each epoch: `random` frames, or in `random_window` "
        "one of each equal part. With any but `middle` for all three, all frames of a clip are cached.",
    )
    val_sampling: Method = Field("middle", description="Which frames validation sees; draws are the same each time.")
    test_sampling: Method = Field("middle", description="Which frames are seen when the model is scored, and after.")
    height: int = Field(224, ge=28, description="Height of the cached frames, in pixels.")
    width: int = Field(224, ge=28, description="Width of the cached frames, in pixels.")
    decoder: Literal["auto", "decord", "pyav"] = Field(
        "auto",
        description="`auto`: decord, and PyAV where decord fails. Which of them it was is recorded for each clip.",
    )
    seconds_per_clip: float = Field(
        120,
        ge=1,
        le=86400,
        description="Time limit of one decoder on one clip; a clip that takes longer is left out, counted.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Frames:
        if (self.count is None) == (self.fps is None):
            raise ValueError("give exactly one of `count` (frames a clip) and `fps` (frames a second)")
        if self.fps is not None and self.drawn:
            raise ValueError("`train_sampling`, `val_sampling` and `test_sampling` need `count`, not `fps`")
        return self

    @property
    def drawn(self) -> bool:
        """Whether frames are picked when they are used: the cache then holds all of a clip."""
        return {self.train_sampling, self.val_sampling, self.test_sampling} != {"middle"}

    @property
    def key(self) -> str:
        """Name of the cache folder: experiments with equal settings share one cache."""
        parts = ["all" if self.drawn else f"n{self.count}" if self.count is not None else f"fps{self.fps}"]
        parts += [self.decoder] if self.decoder != "auto" else []
        parts += [f"{self.seconds_per_clip:g}s"] if self.seconds_per_clip != 120 else []
        return f"{'.'.join(parts)}-{self.width}x{self.height}"

    @property
    def cached(self) -> str:
        """The frames that are decoded, as flags of cache_frames.py."""
        if self.drawn:
            return "--all"
        return f"--frames {self.count}" if self.count is not None else f"--fps {self.fps}"

    @property
    def sampling(self) -> str:
        """The frames that are seen, as flags of train.py."""
        if not self.drawn:
            return self.cached
        splits = ("train", "val", "test")
        return " ".join(
            [f"--frames {self.count}", *(f"--{s}-sampling {getattr(self, f'{s}_sampling')}" for s in splits)]
        )

    @property
    def decoding(self) -> str:
        """How they are decoded, as flags of cache_frames.py."""
        return f"--decoder {self.decoder} --seconds-per-clip {self.seconds_per_clip:g}"

    @property
    def size(self) -> list[int]:
        """Height and width, in pixels."""
        return [self.height, self.width]
