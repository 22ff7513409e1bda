"""Predicting as a user does it: from a trained toy model, which has to look to answer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fetch_weights
from support import SCRIPTS, call, run_script
from suture import model_folder, records
from suture.errors import InputError, SutureError
from suture.prediction import chunk_of, shuffled_clips
from suture.records import Clip, Prediction, Rejection, Sample, Turn
from toy_clips import cache_arguments, make_toy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model under ``model``, unseen clips under ``test``."""
    import train

    root = tmp_path_factory.mktemp("run")
    for name, clips, seed in (("train", 48, 1), ("test", 12, 2)):
        make_toy(root / name, clips=clips, seed=seed)
        run_script("cache_frames", *cache_arguments(root / name, root / name))
    call(fetch_weights, "--family", "qwen2_5_vl", "--model", "small", "--output", root / "base")
    data = ["--train", root / "train" / "samples.jsonl", "--frames-cache", root / "train" / "shard-0.jsonl"]
    where = ["--model", root / "base", "--output", root / "checkpoint", "--work-dir", root / "work"]
    batch = ["--batch-size", 8, "--gradient-accumulation-steps", 1, "--max-grad-norm", 1, "--precision", "fp32"]
    batch += ["--no-use-qlora", "--no-gradient-checkpointing", "--frames", 4]
    steps = ["--max-steps", 160, "--learning-rate", 1e-3, "--augment", "--shuffle-turns", "--adam-beta2", 0.98]
    arguments = ["--family", "qwen2_5_vl", *data, *where, *batch, *steps]
    assert train.main(train.parser().parse_args([str(a) for a in arguments])) == 0
    run_script("export_model", "--checkpoint", root / "checkpoint", "--base", root / "base", "--output", root / "model")
    return root


def predict(run: Path, out: Path, *more: object) -> list[Prediction]:
    """Predicts in this process, which saves the 10 s of imports."""
    import predict as command

    data = ["--samples", run / "test" / "samples.jsonl", "--frames-cache", run / "test" / "shard-0.jsonl"]
    arguments = ["--model", run / "model", *data, "--output", out, "--max-new-tokens", 16, *more]
    command.main(command.parser().parse_args([str(a) for a in arguments]))
    found: list[Prediction] = records.read(out, Prediction)
    return found


def ask(*flags: object) -> None:
    """Asks about files, in this process."""
    import predict as command

    command.main(command.parser().parse_args([str(flag) for flag in flags]))


def share_right(predictions: list[Prediction], kind: str) -> float:
    rows = [p for p in predictions if p.kind == kind]
    return sum(p.prediction == p.answer for p in rows) / len(rows)


def test_it_answers_what_it_sees_and_not_what_it_guesses(run: Path, tmp_path: Path) -> None:
    real = predict(run, tmp_path / "real.jsonl")
    assert [(p.id, p.turn) for p in real] == sorted((p.id, p.turn) for p in real)
    assert len(real) == 24
    assert share_right(real, "color") >= 0.75  # guessing: 0.25
    assert not any(p.truncated for p in real)
    shuffled = predict(run, tmp_path / "shuffled.jsonl", "--video", "shuffled")
    assert share_right(shuffled, "color") <= 0.5
    # It says what the clip shows that it was given.
    swap = shuffled_clips(records.read(run / "test" / "samples.jsonl", Sample))
    said = {p.clip: p.prediction for p in real if p.turn == 0}
    assert all(p.prediction == said[swap[p.clip]] for p in shuffled if p.turn == 0)


def test_gold_answers_change_no_prediction(run: Path, tmp_path: Path) -> None:
    samples: list[Sample] = records.read(run / "test" / "samples.jsonl", Sample)
    lies = tmp_path / "lies.jsonl"
    records.write(
        lies,
        [
            Sample(
                id=s.id,
                case=s.case,
                clip=s.clip,
                phase=s.phase,
                turns=tuple(Turn(question=t.question, answer="The color is red. yes", kind=t.kind) for t in s.turns),
            )
            for s in samples
        ],
    )
    for history in ("own", "none"):
        truth = predict(run, tmp_path / "truth.jsonl", "--history", history)
        lied = predict(run, tmp_path / "lied.jsonl", "--history", history, "--samples", lies)
        assert [p.prediction for p in truth] == [p.prediction for p in lied]
        assert {p.answer for p in lied} == {"The color is red. yes"}


def test_each_question_alone_is_answered_too(run: Path, tmp_path: Path) -> None:
    alone = predict(run, tmp_path / "alone.jsonl", "--history", "none")
    assert share_right(alone, "red") >= 0.75


def test_chunks_together_are_the_whole(run: Path, tmp_path: Path) -> None:
    whole = predict(run, tmp_path / "whole.jsonl")
    chunks = [predict(run, tmp_path / f"{k}.jsonl", "--num-chunks", 5, "--chunk", k) for k in range(5)]
    assert [p for chunk in chunks for p in chunk] == whole


def test_what_is_drawn_depends_on_the_question_and_the_seed_alone(run: Path, tmp_path: Path) -> None:
    # An untrained model, since a trained one is too sure of itself to draw anything else.
    drawn = ["--model", run / "base", "--temperature", 0.8, "--top-p", 0.95, "--repetition-penalty", 1.1]
    whole = predict(run, tmp_path / "whole.jsonl", *drawn)
    chunks = [predict(run, tmp_path / f"{k}.jsonl", *drawn, "--num-chunks", 3, "--chunk", k) for k in range(3)]
    assert [p for chunk in chunks for p in chunk] == whole
    assert predict(run, tmp_path / "small.jsonl", *drawn, "--batch-size", 5) == whole
    said = [p.prediction for p in whole]
    assert said != [p.prediction for p in predict(run, tmp_path / "other.jsonl", *drawn, "--seed", 7)]
    assert said != [p.prediction for p in predict(run, tmp_path / "greedy.jsonl", *drawn[:2])]


@pytest.fixture(scope="module")
def whole_files(run: Path) -> Path:
    """The test clips as wanted from their first frame to their last, cached: what asking about the files shows."""
    root = run / "whole"
    clips: list[Clip] = records.read(run / "test" / "clips.jsonl", Clip)
    root.mkdir()
    records.write(root / "clips.jsonl", [replace(c, first_frame=0, n_frames=14) for c in clips])
    (root / "clips").symlink_to(run / "test" / "clips")
    run_script("cache_frames", *cache_arguments(root, root))
    return root


def test_a_folder_of_videos_is_answered_as_samples_of_them_are(
    run: Path, whole_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples: list[Sample] = records.read(run / "test" / "samples.jsonl", Sample)
    questions = [word for turn in samples[0].turns for word in ("--question", turn.question)]
    expected = predict(run, tmp_path / "samples.jsonl", "--frames-cache", whole_files / "shard-0.jsonl")
    media = tmp_path / "media"
    shutil.copytree(run / "test" / "clips", media)
    (media / "notes.txt").write_text("not a video")
    (media / "broken.mp4").write_bytes(b"no video either")
    flags = ["--model", run / "model", "--media", media, "--max-new-tokens", 16, *questions]
    outputs = ["--output", tmp_path / "files.jsonl", "--rejected", tmp_path / "rejected.jsonl"]
    ask(*flags, *outputs, "--batch-size", 5)
    printed = capsys.readouterr()
    found: list[Prediction] = records.read(tmp_path / "files.jsonl", Prediction)
    assert [(Path(p.id).stem, p.turn, p.question, p.prediction) for p in found] == [
        (p.id, p.turn, p.question, p.prediction) for p in expected
    ]
    assert found[0].id == found[0].case == "case_2000/case_2000_0.mp4"
    assert {p.answer for p in found} == {""}
    rejected: list[Rejection] = records.read(tmp_path / "rejected.jsonl", Rejection)
    assert [(one.where, one.reason) for one in rejected] == [("broken.mp4", "media_unreadable")]
    assert "broken.mp4 is left out: not readable as video" in printed.err
    assert "24 questions answered, 0 answers cut off at 16 tokens; 1 files left out" in printed.out
    assert "1 files are neither video nor image: notes.txt" in printed.out
    with pytest.raises(InputError, match="1 of 13 files cannot be used, 5% may"):
        ask(*flags, "--output", tmp_path / "none.jsonl", "--max-rejected", 0.05)
    assert not (tmp_path / "none.jsonl").exists()
    chunks = []
    for k in range(3):
        ask(*flags, "--output", tmp_path / "chunk.jsonl", "--num-chunks", 3, "--chunk", k, "--max-rejected", 0.25)
        chunks += records.read(tmp_path / "chunk.jsonl", Prediction)
    assert chunks == found


def test_the_answer_about_one_file_is_all_that_is_printed(run: Path) -> None:
    clip = sorted((run / "test" / "clips").rglob("*.mp4"))[0]
    arguments = [
        sys.executable,
        SCRIPTS / "predict.py",
        "--model",
        run / "model",
        "--media",
        clip,
        "--max-new-tokens",
        16,
    ]
    questions = ["--question", "Which color is shown?", "--question", "Is it red?"]
    done = subprocess.run([str(word) for word in [*arguments, *questions]], capture_output=True, text=True, check=True)
    assert done.stdout == "The color is red.\nyes\n"
    assert "2 questions answered" in done.stderr


def test_frames_are_those_that_the_model_folder_names(run: Path, tmp_path: Path) -> None:
    clip = sorted((run / "test" / "clips").rglob("*.mp4"))[0]
    one = ["--media", clip, "--max-new-tokens", 4, "--output", tmp_path / "out.jsonl"]
    model = tmp_path / "model"
    shutil.copytree(run / "model", model)
    card = {k: v for k, v in model_folder.read_card(model).items() if k not in ("schema", "frames")}
    model_folder.write_card(model, **card)
    with pytest.raises(InputError, match=r"give --fps F or --frames N, and --size H W \(published: --fps 2 --size 224"):
        ask("--model", model, *one)
    model_folder.write_card(model, **card, frames={"count": 4, "height": 56, "width": 56})
    ask("--model", model, *one)
    (found,) = records.read(tmp_path / "out.jsonl", Prediction)
    assert found.question == "What do you see in the video?"
    with pytest.raises(InputError, match="do not divide into visual tokens"):
        ask("--model", model, *one, "--size", 50, 50)
    # At its own rate and above, each frame of the file is shown: 28 visual tokens, and no frame is dropped.
    with pytest.raises(InputError, match=r"14 frames would be shown of its 1 s, \d+ fit the model"):
        ask("--model", model, *one, "--fps", 20, "--max-new-tokens", 1990)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--media", ".", "--frames-cache", "x"], "--frames-cache would do nothing"),
        (["--media", ".", "--video", "shuffled"], "--video would do nothing"),
        (["--media", "."], "where should the predictions go"),
        (["--samples", "x", "--fps", 2], "--fps would do nothing"),
        (["--samples", "x", "--question", "What?"], "--question would do nothing"),
        (["--samples", "x", "--output", "y"], "frames of samples come from a cache"),
        (["--media", "x.mp4", "--batch-size", 0], "--batch-size must be above 0"),
        (["--media", "x.mp4"], "no such file or folder"),
        (["--media", __file__], "there is no folder models/typo"),
        (["--media", __file__, "--revision", "main"], "not pinned"),
        (["--media", __file__, "--temperature", -1], "--temperature"),
        (["--media", __file__, "--temperature", "inf"], "--temperature"),
        (["--media", __file__, "--top-p", 0.9], "with temperature 0 nothing is drawn"),
    ],
)
def test_what_would_do_nothing_or_is_not_there_is_said_before_anything_is_loaded(
    flags: list[object], problem: str
) -> None:
    with pytest.raises(SutureError, match=problem):
        ask("--model", "models/typo", *flags)


def test_answers_that_did_not_end_are_marked_and_counted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = predict(run, tmp_path / "cut.jsonl", "--max-new-tokens", 2)
    marked = sum(p.truncated for p in cut)
    assert marked >= 12  # "The color ..."; yes and no end in time
    assert f"24 questions answered, {marked} answers cut off at 2 tokens" in capsys.readouterr().out


def test_two_processes_say_the_same(run: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.jsonl"
    predict(run, here)
    data = ["--samples", run / "test" / "samples.jsonl", "--frames-cache", run / "test" / "shard-0.jsonl"]
    run_script("predict", "--model", run / "model", *data, "--output", tmp_path / "there.jsonl", "--max-new-tokens", 16)
    assert here.read_bytes() == (tmp_path / "there.jsonl").read_bytes()


def test_the_exported_folder_is_an_ordinary_model(run: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    names = {p.name for p in (run / "model").iterdir()}
    assert "optimizer.pt" not in names
    assert {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json"} <= names
    _, report = AutoModelForImageTextToText.from_pretrained(run / "model", output_loading_info=True)
    assert not any(report.values())
    AutoProcessor.from_pretrained(run / "model")
    card, base = model_folder.read_card(run / "model"), model_folder.read_card(run / "base")
    assert card["system_prompt"] == base["system_prompt"]
    assert card["step"] == 160
    assert card["weights"] == model_folder.weights_digest(run / "model") != model_folder.weights_digest(run / "base")


def test_a_checkpoint_of_another_base_is_not_exported(run: Path, tmp_path: Path) -> None:
    arguments = ["--checkpoint", run / "checkpoint", "--output", tmp_path / "out"]
    said = run_script("export_model", *arguments, "--base", run / "model", code=2)
    assert "trained from other weights" in said
    assert "not a segment checkpoint" in run_script(
        "export_model", "--checkpoint", run / "base", "--base", run / "base", "--output", tmp_path / "out", code=2
    )
    assert not (tmp_path / "out").exists()


def choose(run: Path, tmp_path: Path, *more: object) -> list[Prediction]:
    """Predicts from the colours that there are, and one that there is not."""
    import predict as command

    choices = tmp_path / "choices.txt"
    choices.write_text("".join(f"The color is {name}.\n" for name in ("red", "green", "blue", "yellow", "mauve")))
    arguments = ["--model", run / "model", "--samples", run / "test" / "samples.jsonl", "--history", "none"]
    out = tmp_path / "chosen.jsonl"
    arguments += ["--frames-cache", run / "test" / "shard-0.jsonl", "--choices", choices, "--output", out, *more]
    command.main(command.parser().parse_args([str(a) for a in arguments]))
    found: list[Prediction] = records.read(out, Prediction)
    return found


def test_the_best_of_a_closed_set_is_what_it_sees(run: Path, tmp_path: Path) -> None:
    found = choose(run, tmp_path)
    assert share_right(found, "color") >= 0.75  # guessing: 0.2
    for row in found:
        assert len(row.scores) == 5
        assert row.prediction == max(row.scores, key=row.scores.__getitem__)
        assert (row.normalisation, row.score_end, row.truncated) == ("sum", True, False)
    # What it wrote freely was the likeliest of these too.
    free = {(p.id, p.turn): p.prediction for p in predict(run, tmp_path / "free.jsonl", "--history", "none")}
    colours = [p for p in found if p.kind == "color"]
    assert sum(free[p.id, p.turn] == p.prediction for p in colours) >= len(colours) - 1


def test_scores_do_not_depend_on_the_size_of_a_batch_or_on_chunks(run: Path, tmp_path: Path) -> None:
    how = ["--normalisation", "mean", "--no-score-end"]
    whole = choose(run, tmp_path, *how)
    chunks = [["--batch-size", 5, "--num-chunks", 3, "--chunk", k] for k in range(3)]
    parts = [row for chunk in chunks for row in choose(run, tmp_path, *how, *chunk)]
    assert [(p.id, p.turn, p.prediction) for p in parts] == [(p.id, p.turn, p.prediction) for p in whole]
    assert {(p.normalisation, p.score_end) for p in parts} == {("mean", False)}
    for one, other in zip(whole, parts, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_a_closed_set_for_a_file_of_ones_own(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "choices.json").write_text('["The color is red.", "The color is green."]')
    clip: Clip = records.read(run / "test" / "clips.jsonl", Clip)[0]
    question = ["--question", "Which color is shown?", "--choices", tmp_path / "choices.json"]
    ask("--model", run / "model", "--media", run / "test" / "clips" / clip.path, *question)
    assert capsys.readouterr().out == f"The color is {clip.phase}.\n"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--temperature", 0.5], "with --choices, --temperature would do nothing"),
        (["--max-new-tokens", 5], "with --choices, --max-new-tokens would do nothing"),
        (["--choices", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_a_closed_set_is_not_drawn_from(run: Path, tmp_path: Path, flags: list[object], problem: str) -> None:
    with pytest.raises(SutureError, match=problem):
        choose(run, tmp_path, *flags)


def test_a_normalisation_without_choices_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without --choices, --normalisation would do nothing"):
        predict(run, tmp_path / "out.jsonl", "--normalisation", "mean")


def test_a_question_that_does_not_fit_with_its_answer_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than the model's 2048") as caught:
        predict(run, tmp_path / "out.jsonl", "--max-new-tokens", 2030)
    assert str(caught.value.where).startswith("sample case_")
    assert not (tmp_path / "out.jsonl").exists()


def sample(clip: str, case: str) -> Sample:
    return Sample(id=clip, case=case, clip=clip, phase="", turns=(Turn(question="?", answer="", kind=""),))


def test_shuffling_shows_each_clip_once_and_never_its_own_case() -> None:
    samples = [sample(f"{case}{n}", case) for case, count in (("a", 3), ("b", 2), ("c", 2)) for n in range(count)]
    swap = shuffled_clips(samples)
    assert sorted(swap) == sorted(swap.values()) == sorted(s.clip for s in samples)
    assert all(given[0] != clip[0] for clip, given in swap.items())
    assert swap == shuffled_clips(samples[::-1])
    one_case = shuffled_clips([sample(f"a{n}", "a") for n in range(3)])
    assert all(clip != given for clip, given in one_case.items())
    with pytest.raises(InputError, match="fewer than two"):
        shuffled_clips([sample("a", "a")])


@pytest.mark.parametrize("chunks", [1, 2, 3, 7, 11])
def test_chunks_divide_samples_without_overlap(chunks: int) -> None:
    samples = [sample(f"{n:02d}", "a") for n in range(9)]
    parts = [chunk_of(samples[::-1], chunk=k, chunks=chunks) for k in range(chunks)]
    assert [s for part in parts for s in part] == samples
