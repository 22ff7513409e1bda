"""What two splits share: hashes of frames against their definition, and what counts as a leak."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from suture import delimited, known_overlaps, leaks, registry
from suture.errors import InputError
from suture.frames import resize
from suture.leaks import Leak
from suture.perceptual_hash import LUMA, hashes
from video_files import pictures


def scenes(count: int = 6, side: int = 128) -> NDArray[np.uint8]:
    """Unlike pictures: the first frames of different videos."""
    return np.stack([pictures(1, side, side, seed=seed)[0] for seed in range(count)])


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.bitwise_count(hashes(one).bits[:, None] ^ hashes(other).bits[None])


def as_defined(frame: NDArray[np.uint8]) -> int:
    """pHash by SciPy and Pillow: 32x32 luminance, DCT-II, the 8x8 beside the constant row and column, their median."""
    small = Image.fromarray(frame.astype(np.float32) @ LUMA).resize((32, 32), Image.Resampling.BOX)
    kept = dctn(np.asarray(small, np.float64), type=2, norm="ortho")[1:9, 1:9].ravel()
    return int("".join("1" if value > np.median(kept) else "0" for value in kept), 2)


@pytest.mark.parametrize("side", [32, 64, 224])
def test_a_hash_is_the_published_one(side: int) -> None:
    frames = scenes(side=side)
    assert hashes(frames).bits.tolist() == [as_defined(frame) for frame in frames]
    wide = frames[:, : side // 2]
    assert all((a ^ as_defined(b)).bit_count() <= 2 for a, b in zip(hashes(wide).bits.tolist(), wide, strict=True))


def test_the_same_picture_at_another_size_light_or_quality_is_near() -> None:
    frames = scenes()
    for changed in (
        resize(frames, 70, 100),
        (frames * 0.7 + 20).astype(np.uint8),
        np.stack([jpeg(frame, 30) for frame in frames]),
        np.clip(frames + np.random.default_rng(0).normal(0, 8, frames.shape), 0, 255).astype(np.uint8),
    ):
        found = apart(frames, changed)
        assert np.diag(found).max() <= 4
        assert found[~np.eye(len(frames), dtype=bool)].min() >= 12


def jpeg(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    held = io.BytesIO()
    Image.fromarray(frame).save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held))


def test_frames_of_almost_one_colour_have_no_hash() -> None:
    rng = np.random.default_rng(0)
    black = np.zeros((1, 112, 112, 3), np.uint8)
    noisy = rng.integers(0, 12, (3, 56, 56, 3), dtype=np.uint8)
    fog = np.clip(rng.normal(200, 8, (3, 224, 224, 3)), 0, 255).astype(np.uint8)
    vignette = scenes(2)
    assert hashes(black).flat.all()
    assert hashes(noisy).flat.all()
    assert hashes(fog).flat.all()
    assert not hashes(vignette).flat.any()
    dim = (vignette * 0.2).astype(np.uint8)  # dark, and yet a picture
    assert not hashes(dim).flat.any()
    assert np.diag(apart(vignette, dim)).max() <= 4


def of(*numbers: int) -> NDArray[np.uint64]:
    """Hashes of frames: those of one number are equal, the others differ in about 32 bits."""
    return np.array([int(np.random.default_rng(n).integers(0, 2**63)) for n in numbers], np.uint64)


def test_a_clip_within_a_longer_one_is_found_and_a_shared_title_is_not() -> None:
    train = {"long": of(*range(20)), "titled": of(100, 30, 31, 32), "black": of()}
    test = {"part": of(7, 8), "other": of(100, 40, 41, 42), "black too": of(), "new": of(50, 51)}
    assert leaks.alike({"train": train, "val": {}, "test": test}, distance=4, share=0.5) == [
        Leak("frames", "train", "long", "test", "part", "2 of 2 frames differ in at most 4 of 64 bits")
    ]
    # Either side may be the shorter one.
    turned = leaks.alike({"train": test, "test": train}, distance=4, share=0.5)
    assert [(leak.left_clip, leak.right_clip) for leak in turned] == [("part", "long")]
    # With a smaller share a single frame of four is enough.
    loose = leaks.alike({"train": train, "test": test}, distance=4, share=0.25)
    assert [(leak.left_clip, leak.right_clip) for leak in loose] == [("long", "part"), ("titled", "other")]


def test_near_hashes_are_a_leak_only_of_the_same_picture() -> None:
    """Two eyes of other colours have one hash; the same eye as JPEG, dimmed, is the same picture."""
    y, x = np.mgrid[:112, :112]
    disc = ((y - 56) ** 2 + (x - 60) ** 2 < 30**2)[..., None]
    shade = (40 * np.sin(y / 7 + x / 9) + 30 * np.cos(x / 5 - y / 11))[..., None]
    eye, other = (
        np.clip(np.where(disc, iris, skin) + shade, 0, 255).astype(np.uint8)
        for iris, skin in (((60, 90, 160), (200, 160, 140)), ((120, 70, 30), (160, 190, 200)))
    )
    again = jpeg((eye * 0.7).astype(np.uint8), 30)
    shown = {"eye": eye[None], "other": other[None], "again": again[None]}
    assert apart(shown["eye"], shown["other"]).max() <= 4, "the hash alone takes them for one"
    near = [Leak("frames", "train", "eye", "test", clip, "1 of 1") for clip in ("other", "again")]
    (kept,) = leaks.seen(near, shown.__getitem__, distance=4, share=0.5)
    assert (kept.right_clip, kept.value) == ("again", "1 of 1 frames are the same picture")


def test_the_threshold_is_the_number_of_bits() -> None:
    here, there = of(1), of(1) ^ np.uint64(0b1011)
    for distance, count in ((2, 0), (3, 1)):
        found = leaks.alike({"train": {"a": here}, "test": {"b": there}}, distance=distance, share=1)
        assert len(found) == count


def test_clips_of_one_split_may_be_alike() -> None:
    same = {"a": of(1, 2), "b": of(1, 2)}
    assert leaks.alike({"train": same, "val": {}, "test": {}}, distance=4, share=0.5) == []
    assert len(leaks.alike({"train": {}, "val": same, "test": same}, distance=4, share=0.5)) == 4


def test_a_refusal_names_both_clips_and_one_leak_of_each_kind() -> None:
    many = [Leak("frames", "train", f"a{n}", "test", f"b{n}", "8 of 8") for n in range(9)]
    found = [
        *many,
        Leak("case", "train", "c", "val", "d", "case_1"),
        Leak("source media", "val", "e", "test", "f", "ab12"),
    ]
    with pytest.raises(InputError, match="11 leaks") as caught:
        leaks.check(found)
    where = str(caught.value.where)
    assert "case: clip c (train) and clip d (val): case_1" in where
    assert "source media: clip e (val) and clip f (test): ab12" in where
    assert "frames: clip a0 (train) and clip b0 (test): 8 of 8" in where
    assert "and 6 more" in where
    leaks.check([])


def test_known_overlaps_have_a_source_and_fit_what_there_is() -> None:
    rows = delimited.read(known_overlaps.LIST, dict.fromkeys(known_overlaps.COLUMNS, ()), required=()).rows
    assert rows
    for row in rows:
        source = urlparse(row.cells["source"])
        assert (source.scheme, bool(source.netloc)) == ("https", True)
    # The published weights that the families name are in the list.
    published = [
        known["model_id"]
        for name in registry.names("model family")
        if "model_id" in (known := registry.literals("model family", name)["PUBLISHED"])
    ]
    assert {known.weights for known in known_overlaps.find(published, ["cataract1k"])} == set(published)


def test_a_known_overlap_is_found_by_names_in_any_case() -> None:
    found = known_overlaps.find(["checkpoints/Endo_FM.pth", "small"], ["PolypDiag", "cataract1k"])
    assert [(one.weights, one.dataset, one.status) for one in found] == [
        ("checkpoints/Endo_FM.pth", "PolypDiag", "overlap")
    ]
    assert known_overlaps.find(["small"], ["cataract1k"]) == []


def test_a_line_without_a_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("weights,dataset,status,what,source\na,b,overlap,same videos,\n")
    with pytest.raises(InputError, match="an empty cell"):
        known_overlaps.find(["a"], ["b"], path)
