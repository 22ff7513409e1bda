"""Order, variants, log and checkpoints of a run: what needs no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from suture import files
from suture.records import Turn
from suture.training import checkpoint
from suture.training.augment import NOISE, augment, may_mirror
from suture.training.data import Positions


def test_each_epoch_sees_each_sample_once_in_an_order_of_its_own() -> None:
    at = Positions(7, seed=3)
    seen = [at(position) for position in range(28)]
    assert [epoch for epoch, _ in seen] == [0] * 7 + [1] * 7 + [2] * 7 + [3] * 7
    orders = [[index for epoch, index in seen if epoch == e] for e in range(4)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert [at(position) for position in range(28)] == seen


def test_any_position_is_known_without_those_before_it() -> None:
    forwards = [Positions(5, seed=1)(position) for position in range(40)]
    at = Positions(5, seed=1)
    assert [at(position) for position in reversed(range(40))] == forwards[::-1]
    assert [Positions(5, seed=2)(position) for position in range(40)] != forwards


@pytest.mark.parametrize("n", [40, 43, 7])
def test_batches_by_length_hold_like_samples_and_each_sample_once_an_epoch(n: int) -> None:
    lengths = np.random.default_rng(0).integers(10, 500, n).tolist()
    at, plain = Positions(n, seed=3, lengths=lengths, batch=4), Positions(n, seed=3)
    run = [at(position) for position in range(5 * n)]
    for epoch in range(5):
        assert sorted(index for e, index in run if e == epoch) == list(range(n))

    def padding(positions: Positions) -> int:
        rows = [[lengths[positions(b * 4 + k)[1]] for k in range(4)] for b in range(5 * n // 4)]
        return sum(4 * max(row) - sum(row) for row in rows)

    if n > 8:  # a batch that two epochs share is as it comes
        assert padding(at) < 0.35 * padding(plain)
    # The longest do not come first, nor in one order: lengths say nothing of when.
    firsts = [max(lengths[index] for _, index in run[e * n : e * n + 8]) for e in range(5)]
    assert n < 8 or len(set(firsts)) > 1
    again = Positions(n, seed=3, lengths=lengths, batch=4)
    assert [again(position) for position in reversed(range(5 * n))] == run[::-1]


def left_half_bright() -> np.ndarray:
    frames = np.full((6, 56, 56, 3), 40, np.uint8)
    frames[:, :, :28] = 200
    frames[0] = 120  # the first frame is known too
    return frames


def test_variants_differ_and_are_drawn_from_the_generator_alone() -> None:
    frames = left_half_bright()
    before = frames.copy()
    drawn = [augment(frames, np.random.default_rng([1, 2, n]), mirror=True) for n in range(20)]
    again = [augment(frames, np.random.default_rng([1, 2, n]), mirror=True) for n in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert len({d.tobytes() for d in drawn}) == 20
    assert all(d.shape == frames.shape and d.dtype == np.uint8 for d in drawn)
    assert np.array_equal(frames, before)
    sides = [d[3, :, :20].mean() > d[3, :, -20:].mean() for d in drawn]
    assert 4 <= sum(sides) <= 16
    backwards = [abs(d[-1].std() - d[-1, :5].std()) < 3 and d[0].std() > 50 for d in drawn]
    assert 4 <= sum(backwards) <= 16


def test_a_picture_is_never_mirrored_where_sides_matter() -> None:
    for n in range(50):
        varied = augment(left_half_bright(), np.random.default_rng(n), mirror=False)
        assert varied[3, :, :20].mean() > varied[3, :, -20:].mean() + 50


def test_shifts_keep_to_four_pixels_and_noise_to_its_size() -> None:
    frames = np.full((4, 56, 56, 3), 100, np.uint8)
    frames[:, :, 28:] = 200
    for n in range(50):
        varied = augment(frames, np.random.default_rng(n), mirror=False).astype(float)
        assert abs(np.argmax(np.diff(varied[0].mean(axis=(0, 2)))) - 27) <= 4
    flat = [augment(np.full((2, 56, 56, 3), 128, np.uint8), np.random.default_rng(n), mirror=True) for n in range(200)]
    assert np.mean([f.std() for f in flat]) == pytest.approx(NOISE, rel=0.05)
    gains = np.std([f.mean() / 128 for f in flat])
    assert 0.04 < gains < 0.06


@pytest.mark.parametrize(
    ("question", "answer", "kind", "allowed"),
    [
        ("Which phase?", "Incision.", "phase", True),
        ("Where is the knife?", "Above the pupil.", "spatial", False),
        ("Which eye?", "The Left eye.", "other", False),
        ("Does it turn counterclockwise?", "no", "other", False),
        ("Is the lens bright?", "It is upright.", "other", True),
    ],
)
def test_mirroring_is_refused_where_it_would_make_an_answer_false(
    question: str, answer: str, kind: str, allowed: bool
) -> None:
    harmless = Turn(question="Which phase?", answer="Incision.", kind="phase")
    assert may_mirror([harmless, Turn(question=question, answer=answer, kind=kind)]) is allowed


def test_log_lines_are_means_over_full_windows() -> None:
    history = [{"step": s, "loss": float(s), "learning_rate": s / 10, "epoch": 0.1} for s in range(1, 8)]
    history.append({"step": 7, "eval_loss": 0.5, "epoch": 1.0})
    assert checkpoint.log_lines(history, 3) == [
        {"step": 3, "loss": 2.0, "learning_rate": 0.3},
        {"step": 6, "loss": 5.0, "learning_rate": 0.6},
        {"step": 7, "eval_loss": 0.5},
    ]


def test_only_whole_checkpoints_of_the_same_run_are_continued(tmp_path: Path) -> None:
    identity = {"seed": 1, "frames": ["a"]}
    for step, marked in ((2, identity), (10, identity), (12, None), (14, {"seed": 2}), (40, identity)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if marked:
            checkpoint.mark_complete(folder, marked)
    # 12 was being written when its job was killed, 14 is of other options, 40 beyond this segment.
    assert checkpoint.latest(tmp_path, identity, last_step=30) == (10, tmp_path / "checkpoint-10")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]
    assert checkpoint.latest(tmp_path / "nothing", identity, last_step=30) is None


def test_an_output_is_published_whole_with_its_log(tmp_path: Path) -> None:
    source = tmp_path / "checkpoint-3"
    source.mkdir()
    files.write_json(source / checkpoint.STATE, {"log_history": [{"step": 1, "loss": 2.5}]})
    (source / "model.safetensors").write_bytes(b"weights")
    (source / "training_args.bin").write_bytes(b"/home/someone")
    checkpoint.mark_complete(source, {})
    out = tmp_path / "out"
    checkpoint.publish(source, out, card={"family": "x", "system_prompt": "p", "step": 3}, logging_steps=1)
    names = sorted(p.name for p in out.iterdir())
    assert names == ["log.jsonl", "model.safetensors", "suture.json", checkpoint.STATE]
    assert files.read_jsonl(out / "log.jsonl") == [{"step": 1, "loss": 2.5}]
    checkpoint.clear(tmp_path)
    assert not source.exists()
    assert (out / "model.safetensors").read_bytes() == b"weights"
