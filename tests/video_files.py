"""Makers of small test videos: every frame distinct, so that no frame can pass for another."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt


def pictures(count: int, width: int = 96, height: int = 64, *, seed: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Draws frames [h, w, 3] of a block that wanders over noise: different in every frame."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    frames = []
    for number in range(count):
        image = (np.roll(ground, number, axis=1) + rng.integers(0, 12, ground.shape)) % 256
        x = number * 3 % (width - 16)
        image[height // 3 : height // 3 + 16, x : x + 16] = (255, number % 256, 40)
        frames.append(image.astype(np.uint8))
    return frames


def make_video(
    path: Path,
    *,
    seconds: float = 10,
    rate: Fraction | int = 10,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    gop: int = 20,
    b_frames: int = 2,
    options: dict[str, str] | None = None,
    x264: Sequence[str] = (),
    pixel_format: str = "yuv420p",
    times: Sequence[int] | None = None,
    rotation: int = 0,
    sound: bool = False,
    picture: bool = True,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    seed: int = 0,
) -> Path:
    """Writes a video file.

    Args:
        times: milliseconds at which the frames are shown, for a variable frame rate.
        rotation: display rotation in degrees, counter-clockwise.
        sound: add a sound track; without ``picture`` it is the only one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w", options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        audio = container.add_stream("aac", rate=16000) if sound else None
        if audio is not None:
            audio.layout = "mono"
        if picture:
            settings = {"threads": "1", **(options or {})}
            if codec == "libx264":
                settings.setdefault("preset", "ultrafast")
                settings["x264-params"] = ":".join(("scenecut=0", *x264))
            video = container.add_stream(codec, rate=rate, options=settings)
            video.width, video.height, video.pix_fmt = width, height, pixel_format
            video.codec_context.gop_size = gop
            video.codec_context.max_b_frames = b_frames
            tick = Fraction(1, 1000) if times is not None else 1 / Fraction(rate)
            video.codec_context.time_base = tick
            if rotation:
                video.set_display_rotation(rotation)
            count = len(times) if times is not None else round(seconds * rate)
            for number, image in enumerate(pictures(count, width, height, seed=seed)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = number if times is None else times[number]
                frame.time_base = tick
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if audio is not None:
            for number in range(round(seconds * 16000 / 1024)):
                samples = np.sin(np.arange(1024, dtype=np.float32) / 20)[None]
                tone = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                tone.sample_rate = 16000
                tone.pts = number * 1024
                container.mux(audio.encode(tone))
            container.mux(audio.encode())
    return path


def all_frames(path: Path) -> list[npt.NDArray[np.generic]]:
    """Decodes every frame in the format the decoder gives: what a bit-equal copy is compared with."""
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24" if frame.format.is_rgb else frame.format.name)
            for frame in container.decode(video=0)
        ]
