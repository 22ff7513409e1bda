"""The images of a study in one sample: cut as one film whose frames are the images to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

import chest_files
from support import run_script
from suture.frame_sampling import evenly
from suture.video import reading


def test_all_views_of_a_study_are_the_frames_of_one_clip(tmp_path: Path) -> None:
    rows = [f"{name},10000001,50000001,CHEST,{view},1,1" for name, view in (("aaa", "PA"), ("bbb", "LATERAL"))]
    root = chest_files.write(tmp_path / "mimic", rows, {"p10/p10000001/s50000001.txt": chest_files.REPORT})
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 256, shape, dtype=np.uint8) for shape in ((30, 41, 3), (44, 36, 3))]
    for name, picture in zip(("aaa", "bbb"), pictures, strict=True):
        path = tmp_path / "images" / "files/p10/p10000001/s50000001" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    adapter = "mimic_cxr:images=study,views=all"
    flags = ["--adapter", adapter, "--annotations", root, "--videos", tmp_path / "images"]
    outputs = ["--clips-dir", tmp_path / "clips", "--output", tmp_path / "clips.jsonl"]
    run_script("cut_videos", *flags, *outputs)
    (clip,) = map(json.loads, (tmp_path / "clips.jsonl").read_text().splitlines())
    assert (clip["n_frames"], clip["width"], clip["height"], clip["method"]) == (2, 41, 44, "images")
    frames = dict(reading.pick(tmp_path / "clips" / clip["path"], set(evenly(2, 2)), threads=1))
    assert np.array_equal(frames[0][7:37], pictures[0])
    assert not frames[0][:7].any()
    assert np.array_equal(frames[1][:, 2:38], pictures[1])
    before = (tmp_path / "clips" / clip["path"]).read_bytes()
    run_script("cut_videos", *flags, *outputs)
    assert (tmp_path / "clips" / clip["path"]).read_bytes() == before
