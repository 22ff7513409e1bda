"""Which frames of a clip a model sees: numbers within the wanted stretch, from 0."""

from __future__ import annotations


def evenly(n_frames: int, count: int) -> list[int]:
    """Picks the middle frame of each of ``count`` equal parts: floor((i + 1/2) n / count).

    Short clips and images repeat frames; an even spacing never touches the
    first and last frame, where a cut may still show the neighbouring phase.

    Returns:
        ``count`` ascending frame numbers in [0, n_frames).

    Raises:
        ValueError: ``n_frames`` or ``count`` is below 1.
    """
    if n_frames < 1 or count < 1:
        raise ValueError(f"cannot pick {count} of {n_frames} frames")
    return [(2 * i + 1) * n_frames // (2 * count) for i in range(count)]


def at_rate(n_frames: int, fps: float, rate: float) -> list[int]:
    """Picks about ``rate`` frames a second of a video of ``fps`` frames a second, as Surgery-SFT does.

    The published formula (``train.py`` of umurkarakas/surgery-sft, with rate 2) is
    ``int(fps / rate) * i for i in range(rate * n_frames // int(fps))``.
    Where it gives no frame (a clip under 1 / rate s) the first one is taken,
    where its step is 0 (a video slower than ``rate``) each frame is.

    Returns:
        At least one ascending frame number in [0, n_frames).

    Raises:
        ValueError: an argument is not positive.
    """
    if n_frames < 1 or fps <= 0 or rate <= 0:
        raise ValueError(f"cannot pick frames at {rate} a second from {n_frames} frames at {fps} a second")
    step = max(1, int(fps / rate))
    count = max(1, int(rate * n_frames // max(1, int(fps))))
    return [i * step for i in range(count) if i * step < n_frames]
