"""A dataset's own questions about images are put to any checkpoint: each image encoded once, each answer chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from suture.errors import InputError
from suture.frames import resize
from suture.models.base import Features, Video, VideoModel
from suture.training.question_folders import Questions


def shown(model: VideoModel, asked: Questions, size: tuple[int, int]) -> Callable[[str], Video | Features]:
    """Returns what gives an image to its questions: what the model's encoder makes of it, made once.

    Args:
        model: the model.
        asked: the questions and the files of their images; they come image by image.
        size: height and width that the model sees, in pixels.

    Raises:
        InputError: when it is called, an image that cannot be read, named.
    """

    @lru_cache(maxsize=8)
    def features(clip: str) -> Features:
        path = asked.images[clip]
        try:
            with Image.open(path) as image:
                picture = np.asarray(image.convert("RGB"))[None]
        except OSError as error:
            raise InputError(f"the image cannot be read: {error}", where=path, fix="get it again") from error
        video = Video(frames=resize(picture, *size))
        return Features(tokens=model.features([video])[0], shape=(1, *size))

    return features
