"""Sampled = decoded: on videos whose pixels say which frame they are, what a model sees is what the files say."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

import cache_frames
import sample_frames
from support import call, make_clip
from suture import files, records, sampled_frames
from suture.config.training import Train
from suture.errors import InputError
from suture.frame_draws import Draws, Method, Sampling
from suture.frames import CachedClip, FrameCache
from suture.records import Sample, Turn
from suture.sampled_frames import SampledFrames

TOTALS = {"long": 61, "short": 5, "odd": 33}
BITS, CELL = 8, 8


def picture(number: int) -> np.ndarray:
    """A frame with its number in black and white squares, large enough to outlive the codec."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 255, CELL)
    return np.broadcast_to(row[None, :, None], (2 * CELL, BITS * CELL, 3)).copy()


def number_of(frame: np.ndarray) -> int:
    """Reads the number of a frame off its pixels."""
    squares = frame[CELL // 2 : -CELL // 2].reshape(-1, BITS, frame.shape[1] // BITS, 3).mean(axis=(0, 2, 3))
    return int(sum((square > 128) << bit for bit, square in enumerate(squares)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with 3 frames before their first wanted one, all frames cached by the command."""
    root = tmp_path_factory.mktemp("numbered")
    clips, samples = [], []
    for name, total in TOTALS.items():
        path = root / "clips" / "case_1" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = BITS * CELL, 2 * CELL, "yuv420p"
            for number in range(total + 3):
                shown = picture(number - 3 if number >= 3 else 255)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
            container.mux(stream.encode())
        clips.append(
            make_clip(
                id=name,
                first_frame=3,
                n_frames=total,
                fps=25.0,
                path=f"case_1/{name}.mp4",
                sha256=files.sha256_file(path),
                source=f"{name}.avi",
            )
        )
        turn = Turn(question="Which class?", answer="polyp" if name == "odd" else "normal", kind="class")
        samples.append(Sample(id=name, case="case_1", clip=name, phase=turn.answer, turns=(turn,)))
    records.write(root / "clips.jsonl", clips)
    records.write(root / "samples.jsonl", samples)
    call(
        cache_frames, "--clips", root / "clips.jsonl", "--clips-dir", root / "clips", "--all", "--size", 16, 64,
        "--output", root / "all.jsonl", "--array", root / "all.npy",
    )  # fmt: skip
    return root


def cache(data: Path, method: Method, held_out: Method = "uniform") -> SampledFrames:
    return SampledFrames(
        FrameCache([data / "all.jsonl"]),
        held_out=Draws(method=held_out, count=8, seed=7),
        train=Draws(method=method, count=8, seed=7),
    )


@pytest.mark.parametrize("method", ["uniform", "random", "random_window"])
@pytest.mark.parametrize("clip", list(TOTALS))
def test_the_frames_that_are_seen_are_those_in_the_file(data: Path, method: Method, clip: str, tmp_path: Path) -> None:
    frames = cache(data, method)
    rows, seen = [], []
    for epoch in range(3):
        for round_ in (0, 1):
            video = frames.training_video(clip, epoch=epoch, round_=round_)
            seen.append([number_of(frame) for frame in video.frames])
            rows.append(frames.drawn(clip, "normal", epoch=epoch, round_=round_))
    seen.append([number_of(frame) for frame in frames.video(clip).frames])
    rows.append(frames.drawn(clip, "normal"))
    sampled_frames.write(tmp_path / "indices.csv", rows)
    written = sampled_frames.read(tmp_path / "indices.csv")
    assert written == rows
    assert [list(row.indices) for row in written] == seen
    assert {row.total_frames for row in written} == {TOTALS[clip]}
    assert {row.path for row in written} == {f"{clip}.avi"}
    assert written[-1].method == "uniform"


def test_the_command_prints_the_frames_that_training_decodes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = cache(data, "random_window").training_video("long", epoch=4, round_=2).frames
    options = ["--frames", 8, "--method", "random_window", "--seed", 7, "--epoch", 4, "--round", 2, "--key", "long"]
    call(sample_frames, "--total", 61, *options)
    assert capsys.readouterr().out == f"{[number_of(frame) for frame in seen]}\n"


def test_training_sees_each_round_in_each_epoch_and_the_file_tells_it(data: Path, tmp_path: Path) -> None:
    from suture import libraries

    libraries.prepare(threads=1)
    from suture.models import endofm
    from suture.training import views
    from suture.training.data import TrainingSet

    endofm.build_small(tmp_path / "small")
    model = endofm.load(tmp_path / "small")
    model.classes = ("normal", "polyp")
    options = Train(max_steps=8, steps_per_job=8, batch_size=3, gradient_accumulation_steps=1, aug_step_size=3, seed=7)
    frames, samples = cache(data, "random"), records.read(data / "samples.jsonl", Sample)
    of_epoch, rounds = views.of_an_epoch(samples, frames, options, method="random")
    # 61 // 8 = 7 rounds, 33 // 8 = 4, and 1 for the short one: every third is used.
    assert [(one.id, round_) for one, round_ in zip(of_epoch, rounds, strict=True)] == [
        *(("long", round_) for round_ in (0, 1, 4, 7)),
        *(("short", round_) for round_ in (0, 1)),
        *(("odd", round_) for round_ in (0, 1, 4)),
    ]
    training = TrainingSet(
        of_epoch, model, frames, length=24, seed=7, augmented=False, shuffle_turns=False, rounds=rounds
    )
    shown = [[number_of(f) for f in training[at].media["pixels"].numpy()] for at in range(24)]
    folder = tmp_path / "sampling_indices"
    views.write_indices(
        folder, frames, name="toy", train=views.seen(of_epoch, rounds, options, 8), val=samples, options=options,
        sampling=Sampling(count=8, train="random", val="uniform", test="uniform"),
    )  # fmt: skip
    written = sampled_frames.read(folder / "sampling_indices_toy_random_train_augstep3.csv")
    assert [list(row.indices) for row in written] == shown
    label_of = {one.clip: one.turns[0].answer for one in samples}
    assert [row.label for row in written] == [label_of[row.clip] for row in written]
    first_epoch = {(row.clip, row.round) for row in written if row.epoch == 0}
    assert first_epoch == {(one.clip, round_) for one, round_ in zip(of_epoch, rounds, strict=True)}
    val = sampled_frames.read(folder / "sampling_indices_toy_uniform_val.csv")
    assert [list(row.indices) for row in val] == [
        Draws(method="uniform", count=8).indices(t, "") for t in TOTALS.values()
    ]


def test_frames_are_not_drawn_from_a_cache_that_holds_some(data: Path, tmp_path: Path) -> None:
    call(
        cache_frames, "--clips", data / "clips.jsonl", "--clips-dir", data / "clips", "--frames", 4, "--size", 16, 64,
        "--output", tmp_path / "four.jsonl", "--array", tmp_path / "four.npy",
    )  # fmt: skip
    with pytest.raises(InputError, match="not all frames of clip 'long' are cached"):
        sampled_frames.check_whole(FrameCache([tmp_path / "four.jsonl"]), ["long"])
    sampled_frames.check_whole(FrameCache([data / "all.jsonl"]), list(TOTALS))


def test_the_cache_of_all_frames_names_its_sources(data: Path) -> None:
    found = {row.clip: row for row in records.read(data / "all.jsonl", CachedClip)}
    assert found["odd"].source == "odd.avi"
    assert found["odd"].indices == tuple(range(3, 36))


def test_a_folder_of_videos_is_sampled_without_training(data: Path, tmp_path: Path) -> None:
    """The lines are those that training writes: the same keys, the same draws."""
    root = tmp_path / "set"
    for split in ("train", "test"):
        files.write_text(root / "splits" / f"{split}.txt", f"{split}.mp4,1\n")
        (root / "videos").mkdir(exist_ok=True)
        (root / "videos" / f"{split}.mp4").write_bytes((data / "clips/case_1/long.mp4").read_bytes())
    out = tmp_path / "indices.csv"
    options = ["--frames", 8, "--method", "random", "--epoch", 2, "--aug-step-size", 4, "--output", out]
    call(sample_frames, "--root", root, *options)
    rows = sampled_frames.read(out)
    assert [(row.path, row.round) for row in rows] == [
        (f"{split}.mp4", round_) for split in ("test", "train") for round_ in (0, 1, 5)
    ]
    assert {row.total_frames for row in rows} == {64}
    assert list(rows[0].indices) == Draws(method="random", count=8).indices(64, rows[0].clip, epoch=2)
    call(sample_frames, "--root", data / "clips", "--frames", 2, "--method", "uniform", "--output", out)
    assert sorted(row.indices for row in sampled_frames.read(out)) == [(0, 7), (0, 35), (0, 63)]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--total", 0, "--frames", 8], "--total must be above 0"),
        (["--total", 9, "--frames", 8, "--output", "x"], "--output would do nothing"),
        (["--root", ".", "--frames", 8], "give --output FILE"),
        (["--root", ".", "--frames", 8, "--round", 1, "--output", "x"], "--round would do nothing"),
    ],
)
def test_what_would_do_nothing_is_refused(words: list[object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        call(sample_frames, *words, "--method", "random")
