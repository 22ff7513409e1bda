"""Any video or image, shown to a model as the clips of its training were."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cache_frames
from suture import records
from suture.asking import ask, conversation, most_frames
from suture.config.generation import Generation
from suture.errors import InputError
from suture.frames import FrameCache
from suture.free_media import FrameSettings, Unusable, find, frame_settings, read, read_all
from suture.models.base import Video
from suture.records import Clip
from toy_clips import make_toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of 14 frames at 10 a second, as clips that are wanted from the first frame on."""
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=2)
    clips: list[Clip] = records.read(root / "clips.jsonl", Clip)
    records.write(root / "clips.jsonl", [replace(clip, first_frame=0, n_frames=14) for clip in clips])
    return root


@pytest.mark.parametrize("sampling", [("--frames", 4), ("--fps", 3.0)])
def test_a_file_is_shown_as_its_cached_clip_is(toy: Path, tmp_path: Path, sampling: tuple[str, Any]) -> None:
    flags = ["--clips", toy / "clips.jsonl", "--clips-dir", toy / "clips", *sampling, "--size", 28, 56]
    flags += ["--output", tmp_path / "shard.jsonl", "--array", tmp_path / "shard.npy"]
    cache_frames.main(cache_frames.parser().parse_args([str(flag) for flag in flags]))
    cache = FrameCache([tmp_path / "shard.jsonl"])
    by_count = sampling[0] == "--frames"
    settings = FrameSettings(count=4 if by_count else None, fps=None if by_count else sampling[1], height=28, width=56)
    clips: list[Clip] = records.read(toy / "clips.jsonl", Clip)
    for clip in clips:
        video = read(toy / "clips" / clip.path, settings, most=99)
        assert np.array_equal(video.frames, cache.frames(clip.id))
        assert video.frame_seconds == cache.entry(clip.id).frame_seconds > 0


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "frame.png")
    once = read(tmp_path / "frame.png", FrameSettings(count=None, fps=2.0, height=56, width=56), most=1)
    assert np.array_equal(once.frames, pixels[None])
    assert once.frame_seconds == 0
    repeated = read(tmp_path / "frame.png", FrameSettings(count=4, fps=None, height=56, width=56), most=4)
    assert np.array_equal(repeated.frames, [pixels] * 4)


def test_what_is_no_whole_video_says_what_it_is_and_costs_itself_alone(toy: Path, tmp_path: Path) -> None:
    whole = sorted(toy.glob("clips/*/*.mp4"))[0]
    content = whole.read_bytes()
    broken = {"half": content[: len(content) // 2], "empty": b"", "noise": os.urandom(2000)}
    for name, part in broken.items():
        (tmp_path / f"{name}.mp4").write_bytes(part)
    paths = [whole, *(tmp_path / f"{name}.mp4" for name in broken), tmp_path / "absent.mp4", whole]
    settings = FrameSettings(count=None, fps=3.0, height=28, width=28)
    found = list(read_all(paths, settings, most=4, workers=1, seconds=60))
    reasons = [one.reason if isinstance(one, Unusable) else len(one.frames) for one in found]
    assert reasons == [4, "truncated", "media_empty", "media_unreadable", "media_missing", 4]
    too_long = next(read_all([whole], settings, most=3, workers=1, seconds=60))
    assert isinstance(too_long, Unusable)
    assert too_long.detail == "4 frames would be shown of its 1 s, 3 fit the model"
    late = next(read_all([whole], settings, most=4, workers=1, seconds=0.0001))
    assert late == Unusable(reason="decoder_timeout", detail="decoding: not done after 0.0001 s")


def test_a_folder_is_searched_to_its_depth_and_what_is_no_media_is_named(tmp_path: Path) -> None:
    for name in ("b/clip.MP4", "a.mkv", "b/c/frame.jpg", "notes.txt", ".hidden/x.mp4", "b/._clip.mp4"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked.mp4").touch()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "data")
    found, others = find(tmp_path / "data")
    assert list(found) == ["a.mkv", "b/c/frame.jpg", "b/clip.MP4", "link/linked.mp4"]
    assert others == [".hidden/x.mp4", "b/._clip.mp4", "notes.txt"]
    one = tmp_path / "data" / "notes.txt"
    assert find(one) == ({"notes.txt": one}, [])
    with pytest.raises(InputError, match="no video or image among 0 files"):
        (tmp_path / "bare").mkdir()
        find(tmp_path / "bare")
    with pytest.raises(InputError, match="no such file or folder"):
        find(tmp_path / "absent")


def test_frames_are_those_of_the_training_unless_others_are_asked_for() -> None:
    def settings(card: dict[str, Any], **given: Any) -> FrameSettings:
        nothing = {"count": None, "fps": None, "size": None}
        return frame_settings(card, **(nothing | given), where="model", hint=" (published: --fps 2)")

    trained = {"frames": {"fps": 2.0, "height": 224, "width": 112}}
    assert settings(trained) == FrameSettings(count=None, fps=2.0, height=224, width=112)
    assert settings(trained, count=8) == FrameSettings(count=8, fps=None, height=224, width=112)
    assert settings(trained, size=[56, 28]) == FrameSettings(count=None, fps=2.0, height=56, width=28)
    assert settings({}, count=8, size=[56, 28]) == FrameSettings(count=8, fps=None, height=56, width=28)
    for given in ({}, {"count": 8}, {"size": [56, 56]}):
        with pytest.raises(InputError, match=r"give --fps F or --frames N, and --size H W \(published: --fps 2\)"):
            settings({}, **given)
    for given in ({"count": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"size": [0, 56]}):
        with pytest.raises(InputError, match="above 0"):
            settings(trained, **given)


class Counter:
    """A model that takes 100 tokens: ten a question, three a frame, whatever its size."""

    max_length = 100

    def count_tokens(self, turns: Sequence[Any], shape: tuple[int, int, int]) -> int:
        return 10 * len(turns) + 3 * shape[0]


def test_the_most_frames_are_those_that_leave_room_for_questions_and_answer() -> None:
    settings = FrameSettings(count=None, fps=2.0, height=56, width=56)
    for questions, tokens, most in ((1, 60, 10), (2, 60, 6), (2, 61, 6), (2, 63, 5), (4, 61, 0)):
        turns = conversation("a", ["What?"] * questions).turns
        found = most_frames(Counter(), turns, settings, Generation(max_new_tokens=tokens))  # type: ignore[arg-type]
        assert found == most


def asked(
    monkeypatch: pytest.MonkeyPatch, names: str, *, max_rejected: float = 1.0
) -> tuple[list[list[str]], list[str], list[Any]]:
    """Asks about files by their names, two at a time; those that begin with x cannot be read."""
    answered: list[list[str]] = []

    def videos() -> Iterator[Video | Unusable]:
        for name in names.split():
            if name.startswith("x"):
                yield Unusable(reason="media_unreadable", detail="broken")
            else:
                yield Video(frames=np.full((1, 1, 1, 3), ord(name[-1]), np.uint8))

    def predict(_: Any, samples: Sequence[Any], shown: Any, **options: Any) -> list[str]:
        assert [chr(shown(sample.clip).frames[0, 0, 0, 0]) for sample in samples] == [s.id[-1] for s in samples]
        answered.append([sample.id for sample in samples])
        return [sample.id for sample in samples]

    monkeypatch.setattr("suture.asking.predict", predict)
    predictions: Any
    predictions, rejections = ask(
        Counter(),  # type: ignore[arg-type]
        [conversation(name, ["What?"]) for name in names.split()],
        videos(),
        history="own",
        generation=Generation(max_new_tokens=5),
        batch_size=2,
        max_rejected=max_rejected,
    )
    return answered, predictions, rejections


def test_a_file_that_cannot_be_used_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, said, rejections = asked(monkeypatch, "a1 x1 x2 a3 a4")
    assert answered == [["a1"], ["a3"], ["a4"]]
    assert said == ["a1", "a3", "a4"]
    assert [(one.where, one.reason) for one in rejections] == [("x1", "media_unreadable"), ("x2", "media_unreadable")]


def test_too_many_unusable_files_end_the_run_as_soon_as_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="2 of 6 files cannot be used, 20% may: broken"):
        asked(monkeypatch, "x1 x2 a1 a2 a3 a4", max_rejected=0.2)
    assert len(asked(monkeypatch, "x1 a1 a2 a3 a4", max_rejected=0.2)[1]) == 4


def test_no_files_in_a_chunk_give_no_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, "") == ([], [], [])
