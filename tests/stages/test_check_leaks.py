"""check_leaks.py as users run it: real videos, cut in name only, cached by cache_frames.py; one leak of each kind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import cache_frames
import check_leaks
from support import call, make_clip, run_script
from suture import files, records
from suture.errors import InputError
from suture.records import Clip, Sample, Turn
from video_files import make_video, pictures

SPLIT_OF = {"case_1": "train", "case_2": "train", "case_3": "val", "case_4": "test"}
TURN = Turn(question="Which phase is it?", answer="Incision", kind="phase")


def write_video(path: Path, frames: NDArray[np.uint8], *, quality: int) -> None:
    """Writes frames [n, height, width, RGB]; ``quality`` is x264's crf, the higher the worse."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": str(quality)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


class Data:
    """Four cases with a clip each, which is the whole of its video; two are trained on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clips: dict[str, Clip] = {}
        for number, case in enumerate(SPLIT_OF):
            path = make_video(folder / "clips" / f"{case}.mp4", seconds=2, seed=number)
            self.clips[case] = self.clip(case, path)

    def clip(self, case: str, path: Path, **changes: Any) -> Clip:
        digest = files.sha256_file(path)
        about = {"id": f"{case}_0", "case": case, "path": path.name, "n_frames": 20, "fps": 10.0, "end_s": 2.0}
        return make_clip(**{**about, "sha256": digest, "source_sha256": f"source of {digest}", **changes})

    def change(self, name: str, /, **changes: Any) -> None:
        self.clips[name] = dataclasses.replace(self.clips[name], **changes)

    def replace(self, name: str, /, video: bytes | NDArray[np.uint8], **changes: Any) -> None:
        """Gives a case another video: a file's bytes, or frames that are badly encoded."""
        path = self.folder / "clips" / f"{name}.mp4"
        path.unlink()
        if isinstance(video, bytes):
            path.write_bytes(video)
        else:
            write_video(path, video, quality=32)
        self.clips[name] = self.clip(name, path, **changes)

    def write(self, unit: str = "case") -> list[object]:
        """Writes the manifests and the frame cache, and returns the flags that name them."""
        clips = sorted(self.clips.values(), key=lambda clip: clip.id)
        records.write(self.folder / "clips.jsonl", clips)
        for split in ("train", "val", "test"):
            mine = [clip for case, clip in self.clips.items() if SPLIT_OF[case] == split]
            samples = [Sample(id=f"q_{c.id}", case=c.case, clip=c.id, phase=c.phase, turns=(TURN,)) for c in mine]
            records.write(self.folder / f"{split}.jsonl", samples)
        files.write_json(self.folder / "split.json", {"unit": unit, "leaky": unit == "clip"})
        made = ["--clips", self.folder / "clips.jsonl", "--clips-dir", self.folder / "clips", "--frames", 6]
        made += ["--size", 56, 56, "--workers", 1, "--output", self.folder / "frames.jsonl"]
        made += ["--array", self.folder / "frames.npy", "--rejected", self.folder / "rejected.jsonl"]
        call(cache_frames, *made, "--max-rejected", 1)
        flags: list[object] = [
            x for name in ("train", "val", "test") for x in (f"--{name}", self.folder / f"{name}.jsonl")
        ]
        flags += ["--split-info", self.folder / "split.json", "--clips", self.folder / "clips.jsonl"]
        return [*flags, "--frames-cache", self.folder / "frames.jsonl", "--output", self.folder / "leaks.json"]

    def check(self, *more: object, unit: str = "case") -> dict[str, Any]:
        call(check_leaks, *self.write(unit), *more)
        found: dict[str, Any] = json.loads((self.folder / "leaks.json").read_text())
        return found

    def refusal(self, *more: object) -> str:
        with pytest.raises(InputError) as caught:
            self.check(*more)
        assert not (self.folder / "leaks.json").exists()
        return str(caught.value)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_a_split_that_shares_nothing_passes(data: Data) -> None:
    found = data.check()
    assert (found["leaky"], found["counts"], found["leaks"]) == (False, {}, [])
    assert found["frames"] == {"hashed": 24, "flat": 0, "clips_without_frames": 0}


def test_a_case_in_two_splits_stops_the_run(data: Data) -> None:
    data.change("case_4", case="case_1")
    assert "case: clip case_1_0 (train) and clip case_4_0 (test): case_1" in data.refusal()


def test_a_copied_clip_stops_the_run(data: Data) -> None:
    original = (data.folder / "clips" / "case_2.mp4").read_bytes()
    data.replace("case_3", original, source_sha256="another")
    told = data.refusal()
    assert "clip media: clip case_2_0 (train) and clip case_3_0 (val): " in told
    assert "frames: clip case_2_0 (train) and clip case_3_0 (val): 6 of 6" in told


def test_two_clips_of_one_video_stop_the_run(data: Data) -> None:
    data.change("case_4", source_sha256=data.clips["case_2"].source_sha256)
    assert "source media: clip case_2_0 (train) and clip case_4_0 (test): source of " in data.refusal()


def test_a_video_encoded_again_at_another_size_stops_the_run(data: Data) -> None:
    scaled = [picture.repeat(2, 0).repeat(3, 1) for picture in pictures(20, seed=0)]
    darker = (np.stack(scaled) * 0.8).astype(np.uint8)
    data.replace("case_4", darker)
    told = data.refusal()
    assert "1 leak between the splits" in told
    assert "frames: clip case_1_0 (train) and clip case_4_0 (test): " in told
    assert "split.assign" in told and "leaks.on_leak" in told
    # No bit may differ: encoding it again has changed some.
    assert data.check("--distance", 0, "--share", 1)["leaks"] == []


def test_black_videos_are_no_leak(data: Data) -> None:
    rng = np.random.default_rng(0)
    for case in ("case_1", "case_4"):
        data.replace(case, rng.integers(0, 8, (20, 64, 96, 3), dtype=np.uint8))
    found = data.check()
    assert (found["leaks"], found["frames"]["flat"], found["frames"]["hashed"]) == ([], 12, 12)


def test_a_clip_without_frames_is_counted(data: Data) -> None:
    data.replace("case_2", b"no video")
    assert data.check()["frames"] == {"hashed": 18, "flat": 0, "clips_without_frames": 1}


def test_a_leak_can_be_reported_and_then_every_score_is_leaky(data: Data) -> None:
    data.change("case_4", case="case_1")
    found = data.check("--on-leak", "report")
    assert (found["leaky"], found["on_leak"], found["counts"]) == (True, "report", {"case": 1})
    leak = {"kind": "case", "left_split": "train", "left_clip": "case_1_0", "right_split": "test"}
    assert found["leaks"] == [{**leak, "right_clip": "case_4_0", "value": "case_1"}]
    answered = {"id": "q", "case": "x", "kind": "phase", "answer": "a", "prediction": "a"}
    (data.folder / "predictions.jsonl").write_text(json.dumps(answered) + "\n")
    files_of = ["--predictions", data.folder / "predictions.jsonl", "--output", data.folder / "metrics.json"]
    run_script("score", "--task", "open_vqa", *files_of, "--split-info", data.folder / "leaks.json")
    assert json.loads((data.folder / "metrics.json").read_text())["leaky"] is True


def test_a_split_by_clip_is_leaky_by_design_and_goes_on(data: Data) -> None:
    data.change("case_4", case="case_1")
    found = data.check(unit="clip")
    assert (found["leaky"], found["on_leak"], found["counts"]) == (True, "report", {"case": 1})
    with pytest.raises(InputError, match="1 leak "):
        data.check("--on-leak", "stop", unit="clip")


def test_known_overlaps_are_listed_with_their_source(data: Data) -> None:
    found = data.check("--weights", "small", "models/endo_fm.pth", "--dataset", "polypdiag")
    assert found["leaky"] is False
    assert [(one["weights"], one["status"]) for one in found["known_overlaps"]] == [("models/endo_fm.pth", "overlap")]
    assert found["known_overlaps"][0]["source"].startswith("https://")


def test_the_command_ends_with_2_and_says_what_to_do(data: Data) -> None:
    data.change("case_4", case="case_1")
    printed = run_script("check_leaks", *data.write(), code=2)
    assert "clip case_1_0 (train) and clip case_4_0 (test)" in printed
    assert "fix:" in printed


def test_a_clip_that_no_cache_knows_is_an_error(data: Data) -> None:
    data.replace("case_4", b"no video")  # rejected: its line can go without the array becoming another one's
    flags = data.write()
    lines = (data.folder / "frames.jsonl").read_text().splitlines(keepends=True)
    (data.folder / "frames.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(InputError, match="case_4_0 is in none of the frame caches"):
        call(check_leaks, *flags)


def test_the_result_does_not_depend_on_the_order_of_samples(data: Data) -> None:
    data.change("case_4", case="case_1")
    data.change("case_3", source_sha256=data.clips["case_2"].source_sha256)
    data.check("--on-leak", "report")
    before = (data.folder / "leaks.json").read_bytes()
    data.clips = dict(reversed(data.clips.items()))
    data.check("--on-leak", "report")
    assert (data.folder / "leaks.json").read_bytes() == before
