"""SurgViVQA: no token sees what comes after it, what is trained is counted, and answers are scored exactly."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from suture import files, libraries, model_folder, prompt_modes, registry
from suture.config.generation import Generation
from suture.config.training import Train, with_family_defaults
from suture.datasets.ssgvqa.vocabulary import LABELS
from suture.errors import InputError
from suture.models.base import Features, Video
from suture.records import Turn

libraries.prepare(threads=1)

import torch  # noqa: E402
from transformers import (  # noqa: E402
    BertTokenizerFast,
    BlipConfig,
    BlipForQuestionAnswering,
    GPT2Config,
    GPT2LMHeadModel,
    VideoMAEConfig,
    VideoMAEModel,
)
from transformers.models.blip.modeling_blip_text import BlipTextModel  # noqa: E402

import published_surgvivqa  # noqa: E402
from suture import choice_tree, surgvivqa_files, untold  # noqa: E402
from suture.models import surgvivqa as family  # noqa: E402
from suture.surgvivqa_model import SurgVivqaConfig, SurgVivqaModel  # noqa: E402
from suture.training import adapters, published_flags, towers  # noqa: E402
from suture.training.data import check_samples  # noqa: E402
from suture.training.loop import prepare  # noqa: E402

UNTOLD = {"num_frames": 2, "image_size": 56, "head_width": 16, "lora_alpha": published_surgvivqa.ALPHA}
QUESTION = "What instrument is grasping the cystic duct?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("surgvivqa") / "small"
    family.build_small(path)
    return path


@pytest.fixture
def model(folder: Path) -> family.SurgViVQA:
    return family.load(folder)


def turn(answer: str = "grasper", question: str = QUESTION) -> tuple[Turn, ...]:
    return (Turn(question=question, answer=answer, kind="x"),)


def still(seed: int = 0) -> Video:
    return Video(frames=np.random.default_rng(seed).integers(0, 256, (1, 56, 56, 3), dtype=np.uint8))


def logits(model: Any, ids: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = model(input_ids=ids, video_states=video).logits
    return out


def test_no_output_moves_when_later_tokens_change(model: family.SurgViVQA) -> None:
    network = model.model.eval()
    video = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(40, 52)[None]
    before = logits(network, ids, video)
    for length in range(1, ids.shape[1]):
        changed = ids.clone()
        changed[:, length:] = torch.arange(300, 300 + ids.shape[1] - length)
        after = logits(network, changed, video)
        assert torch.equal(after[:, :length], before[:, :length]), f"position before {length} saw what comes after it"
        assert not torch.allclose(after[:, length:], before[:, length:])
    # And the video is looked at: the test would hold for a model that reads nothing.
    assert not torch.allclose(logits(network, ids, video + 1), before)


def test_the_published_wiring_sees_the_answer_it_is_asked_for(model: family.SurgViVQA) -> None:
    """The library's own text encoder, called as models/model.py calls it, and our GPT-2 behind it."""
    network = model.model.eval()
    encoder = BlipTextModel(network.config.reader_config, add_pooling_layer=False).eval()
    encoder.load_state_dict(network.text_encoder.state_dict())
    video = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(0))

    def published(ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            states = encoder(
                input_ids=ids, attention_mask=torch.ones_like(ids), encoder_hidden_states=video
            ).last_hidden_state
            out: torch.Tensor = network.llm(inputs_embeds=states).logits
        return out

    ids = torch.arange(40, 52)[None]
    other = ids.clone()
    other[0, -1] = 300
    # The place that predicts the last token knows that token.
    assert (published(ids)[0, -2] - published(other)[0, -2]).abs().max() > 1e-3
    assert torch.equal(logits(network, ids, video)[0, -2], logits(network, other, video)[0, -2])


@pytest.mark.parametrize("mode", ["simple", "choices"])
def test_prompts_are_exactly_the_published_ones(folder: Path, mode: str) -> None:
    told = prompt_modes.text("surgvivqa", registry.literals("model family", "surgvivqa"), mode, LABELS)
    model = family.load(folder, told)
    between = "Candidates: " + ", ".join(LABELS) + "\n" if mode == "choices" else ""
    example = model.encode(turn(), still())
    assert model.tokenizer.decode(example.input_ids) == (f"Question: {QUESTION}\n{between}Answer: grasper<|endoftext|>")
    learnt = [label for label in example.labels if label != -100]
    assert model.tokenizer.decode(learnt) == " grasper<|endoftext|>"
    prompt = model.encode(turn(""), still(), for_reply=True)
    assert model.tokenizer.decode(prompt.input_ids) == f"Question: {QUESTION}\n{between}Answer:"
    assert example.input_ids[: len(prompt.input_ids)] == prompt.input_ids


def test_the_end_of_an_answer_is_learnt_although_it_is_the_padding_too(model: family.SurgViVQA) -> None:
    batch = model.collate([model.encode(turn(), still()), model.encode(turn("abdominal_wall_cavity"), still())])
    assert model.tokenizer.pad_token_id == model.tokenizer.eos_token_id
    for row, answer in zip(batch["labels"], ("grasper", "abdominal_wall_cavity"), strict=True):
        assert model.tokenizer.decode(row[row != -100]) == f" {answer}<|endoftext|>"
    ended = batch["labels"].clone()
    ended[ended == model.tokenizer.eos_token_id] = -100
    assert model.loss(model.model, batch, 1).item() > model.loss(model.model, {**batch, "labels": ended}, 1).item()


def test_padding_changes_nothing(model: family.SurgViVQA) -> None:
    short, long = model.encode(turn(), still()), model.encode(turn("abdominal_wall_cavity"), still(1))
    alone = [model.loss(model.model, model.collate([one]), 1).item() for one in (short, long)]
    assert model.loss(model.model, model.collate([short, long]), 1).item() == pytest.approx(sum(alone), rel=1e-5)


@pytest.mark.parametrize("shown", [True, False])
def test_choices_scored_in_one_pass_equal_one_pass_each(model: family.SurgViVQA, shown: bool) -> None:
    asked = [(turn(question="What?"), still(1)), (turn(), still(2))]
    prompts = [model.encode(t, video if shown else None, for_reply=True) for t, video in asked]
    tokens = [model.answer_tokens(asked[0][0], label) for label in LABELS]
    found = model.score(model.collate(prompts, pad_left=True), choice_tree.plant(tokens))
    assert found.shape == (2, 51)
    for row, (question, video) in enumerate(asked):
        for place, label in enumerate(LABELS):
            answered = tuple(Turn(question=one.question, answer=label, kind="x") for one in question)
            batch = model.collate([model.encode(answered, video if shown else None)])
            with torch.no_grad():
                alone = -model.loss(model.model, batch, 1).item()
            assert found[row, place].item() == pytest.approx(alone, abs=2e-4)


def test_a_still_is_encoded_once_and_its_features_stand_for_it(
    model: family.SurgViVQA, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = still()
    (tokens,) = model.features([shown])
    twice = Video(frames=np.repeat(shown.frames, 2, axis=0))
    assert torch.equal(model.features([twice])[0], tokens)
    made = Features(tokens=tokens, shape=(1, 56, 56))
    live, fed = (model.collate([model.encode(turn(), one)]) for one in (shown, made))
    assert live["pixel_values"].shape == (1, 2, 3, 56, 56) and "pixel_values" not in fed
    calls: list[int] = []
    encode = SurgVivqaModel.video_states_of
    monkeypatch.setattr(
        SurgVivqaModel, "video_states_of", lambda self, pixels: (calls.append(len(pixels)), encode(self, pixels))[1]
    )
    assert model.loss(model.model, live, None).item() == pytest.approx(model.loss(model.model, fed, None).item())
    assert calls == [1]
    prompt = model.collate([model.encode(turn(), shown, for_reply=True)], pad_left=True)
    model.generate(prompt, Generation(max_new_tokens=6), [1])
    assert calls == [1, 1]  # not once a word


def test_other_numbers_of_frames_are_refused_or_set(folder: Path, tmp_path: Path, model: family.SurgViVQA) -> None:
    with pytest.raises(InputError, match="8 frames, and the video encoder takes 2"):
        model.count_tokens(turn(), (8, 56, 56))
    other = tmp_path / "other"
    family.build_small(other)
    family.show_frames(other, 8)
    eight = family.load(other)
    assert eight.num_frames == 8 and eight.visual_tokens((1, 56, 56)) == 4 * 16
    assert eight.features([still()])[0].shape == (64, 64)
    with pytest.raises(InputError, match="joins each 2"):
        family.show_frames(other, 7)


def options(**given: Any) -> Train:
    defaults = registry.literals("model family", "surgvivqa")["TRAIN_DEFAULTS"]
    return Train(**with_family_defaults({"max_steps": 4, "steps_per_job": 4, **given}, defaults))


def test_the_published_model_trains_811008_of_its_parameters() -> None:
    with torch.device("meta"):
        network = SurgVivqaModel(SurgVivqaConfig())
    parts = {
        name: sum(p.numel() for p in getattr(network, name).parameters())
        for name in ("visual_encoder", "text_encoder", "llm")
    }
    assert parts == {"visual_encoder": 86_227_200, "text_encoder": 152_413_440, "llm": 124_439_808}
    outer: Any = SimpleNamespace(
        model=network, language_model="llm", towers=family.TOWERS, unused=(), encoders=("vision",), unseen=()
    )
    counts = adapters.attach(outer, options())
    assert counts["trainable"] == 811_008 == 12 * 8 * ((768 + 2304) + (768 + 768) + (3072 + 768))
    assert counts["total"] == 363_080_448 + 811_008
    assert f"{counts['trainable'] / counts['total']:.4%}" == "0.2229%"


def trained(model: family.SurgViVQA) -> set[str]:
    return {
        ("adapters of " if ".lora_" in name else "") + towers.tower_of(name, model.towers)
        for name, parameter in model.model.named_parameters()
        if parameter.requires_grad
    }


def flags(*words: str) -> dict[str, Any]:
    import train

    args = train.parser("surgvivqa").parse_args(["--family", "surgvivqa", "--model", "x", *words])
    published_flags.apply(args, registry.literals("model family", "surgvivqa"))
    return {name: value for name in Train.model_fields if (value := getattr(args, name, None)) is not None}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"adapters of language"}),
        (["--train-blip"], {"adapters of language", "projector"}),
        (["--full-finetune", "--train-gpt2-full"], {"language"}),
        (["--full-finetune", "--train-blip"], {"projector"}),
        (["--full-finetune", "--train-gpt2-full", "--train-blip"], {"language", "projector"}),
    ],
)
@pytest.mark.parametrize("blind", [False, True])
def test_published_switches_train_what_they_name(
    model: family.SurgViVQA, words: list[str], expected: set[str], blind: bool
) -> None:
    if blind and expected == {"projector"}:
        with pytest.raises(ValueError, match="all three towers are frozen"):
            options(**flags(*words), blind=True)
        return
    asked = options(**flags(*words), blind=blind, precision="fp32")
    prepare(model, asked)
    assert trained(model) == expected
    model.model.train()
    batch = model.collate([model.encode(turn(), None if blind else still())])
    model.loss(model.model, batch, None).backward()
    without = [n for n, p in model.model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_switches_that_do_nothing_or_contradict_are_refused() -> None:
    with pytest.raises(InputError, match="--train-gpt2-full would do nothing by itself"):
        flags("--train-gpt2-full")
    with pytest.raises(InputError, match="--fp16"):
        flags("--fp16", "--bf16")
    with pytest.raises(InputError, match="--lr and --learning-rate say two things"):
        flags("--lr", "1e-3", "--learning-rate", "2e-3")


def test_published_names_of_options_are_ours() -> None:
    words = ["--max-steps", "30000", "--eval-every-steps", "2000", "--save-every-steps", "5000", "--batch-size", "8"]
    made = options(**flags(*words, "--lr", "5e-4", "--lora-r", "16", "--bf16"))
    assert (made.eval_steps, made.save_steps, made.learning_rate, made.r, made.precision) == (
        2000,
        5000,
        5e-4,
        16,
        "bf16",
    )
    plain = options()
    assert (plain.r, plain.lora_alpha, plain.lora_dropout, plain.lora_targets) == (8, 32, 0.1, "c_attn,c_proj")


def test_candidates_that_do_not_fit_are_refused_before_training(folder: Path) -> None:
    model = family.load(folder, family.CANDIDATES.format(", ".join(LABELS)))
    sample: Any = SimpleNamespace(id="VID04_1.1", clip="VID04_1", turns=turn())
    entry = SimpleNamespace(n_frames=1, height=56, width=56)
    cache: Any = SimpleNamespace(entry=lambda clip: entry, __contains__=lambda clip: True)
    model.max_length = 128
    with pytest.raises(InputError, match=r"VID04_1\.1"):
        check_samples([sample], model, cache, where=Path("train.jsonl"))
    model.max_length = 512
    assert check_samples([sample], model, cache, where=Path("train.jsonl"))[0] > 128


def test_a_model_is_asked_as_it_was_trained() -> None:
    trained_so = {"prompt_mode": "simple", "system_prompt": ""}
    prompt_modes.check(trained_so, "simple", "")
    prompt_modes.check({}, "choices", "Candidates: a, b")
    with pytest.raises(InputError, match="trained with prompt mode 'simple', not 'choices'"):
        prompt_modes.check(trained_so, "choices", "Candidates: a, b")
    with pytest.raises(InputError, match="in another order"):
        prompt_modes.check(
            {"prompt_mode": "choices", "system_prompt": "Candidates: a, b"}, "choices", "Candidates: b, a"
        )
    with pytest.raises(InputError, match="none of qwen2_5_vl"):
        prompt_modes.text("qwen2_5_vl", {}, "simple", ())


@pytest.fixture
def published_file(model: family.SurgViVQA, tmp_path: Path) -> tuple[Path, Any]:
    path = tmp_path / "best_model.pth"
    return path, published_surgvivqa.save(model.model, path)


def test_a_published_file_is_read_and_its_tensors_are_counted(
    published_file: tuple[Path, Any], model: family.SurgViVQA, folder: Path, tmp_path: Path
) -> None:
    path, wrapped = published_file
    loaded, table = surgvivqa_files.load(path, **UNTOLD)
    assert (table.missing, table.unexpected, table.unused, table.adapted) == ([], [], 3, 6)
    assert table.matched == len(loaded.state_dict())
    assert "0 missing, 0 unexpected, 3 of no use; 6 adapters merged with alpha 32" in table.words
    ids, video = torch.arange(40, 52)[None], torch.randn(1, 16, 64)
    theirs = model.model.eval()
    theirs.llm = wrapped
    assert torch.allclose(logits(loaded, ids, video), logits(theirs, ids, video), atol=1e-4)


def test_a_published_file_that_is_not_whole_or_something_else_is_refused(
    published_file: tuple[Path, Any], tmp_path: Path
) -> None:
    state = torch.load(published_file[0], weights_only=True)
    del state["text_encoder.encoder.layer.1.crossattention.self.query.weight"]
    torch.save({"model_state_dict": state, "step": 3}, tmp_path / "half.pth")
    with pytest.raises(InputError, match=r"1 missing.*crossattention\.self\.query"):
        surgvivqa_files.load(tmp_path / "half.pth", **UNTOLD)
    torch.save({"blocks.0.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="0 matched"):
        surgvivqa_files.load(tmp_path / "other.pth", **UNTOLD)
    torch.save({"llm.x": torch.zeros(1), "extra": print}, tmp_path / "code.pth")
    with pytest.raises(InputError, match="asks for"):
        surgvivqa_files.load(tmp_path / "code.pth", **UNTOLD)


def test_what_a_file_does_not_tell_is_read_or_refused(published_file: tuple[Path, Any]) -> None:
    assert untold.read("surgvivqa", ["num_frames=8", "lora_alpha=16"]) == {"num_frames": 8, "lora_alpha": 16}
    for family_name, word, said in (
        ("surgvivqa", "num_frame=8", "did you mean 'num_frames'"),
        ("surgvivqa", "num_frames=0", "whole number above 0"),
        ("endofm", "num_frames=8", "leave it out"),
    ):
        with pytest.raises(InputError) as refused:
            untold.read(family_name, [word])
        assert said in str(refused.value) + (refused.value.fix or "")
    for name, value, said in (("head_width", 48, "do not divide"), ("num_frames", 3, "whole patches")):
        with pytest.raises(InputError, match=said):
            surgvivqa_files.load(published_file[0], **{**UNTOLD, name: value})


def test_each_token_gets_the_row_of_its_own_text() -> None:
    pieces: Any = lambda texts, add_special_tokens: SimpleNamespace(  # noqa: E731
        input_ids=[[{"gall": 0, "bladder": 1, "red": 2}[word] for word in text.split()] for text in texts]
    )
    rows = torch.tensor([[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]])
    made = surgvivqa_files.rows_by_text([" gall bladder", "red", "\n"], pieces, rows)
    assert made.tolist() == [[2.0, 1.0], [9.0, 9.0], rows.mean(dim=0).tolist()]


def test_three_published_models_are_put_together(folder: Path, tmp_path: Path) -> None:
    """Tiny folders of the three classes, as the hub's are laid out."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "question", "hook", "red", "liver", ":"]
    video, blip, gpt2 = (tmp_path / name for name in ("videomae", "blip", "gpt2"))
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    VideoMAEModel(VideoMAEConfig(image_size=28, patch_size=14, use_mean_pooling=False, **small)).save_pretrained(video)
    family.load(folder).processor.image_processor.save_pretrained(video)
    text = {**small, "vocab_size": len(words), "encoder_hidden_size": 32, "is_decoder": True}
    BlipForQuestionAnswering(
        BlipConfig(text_config=text, vision_config={**small, "image_size": 28, "patch_size": 14}, projection_dim=32)
    ).save_pretrained(blip)
    (blip / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(blip / "vocab.txt")).save_pretrained(blip)
    tokenizer = family.load(folder).tokenizer
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2)).save_pretrained(gpt2)
    tokenizer.save_pretrained(gpt2)
    made = tmp_path / "made"
    family.assemble([video, blip, gpt2], made)
    loaded = family.load(made)
    assert loaded.num_frames == 16 and loaded.max_length == 512
    theirs = BlipForQuestionAnswering.from_pretrained(blip).text_encoder.embeddings.word_embeddings.weight
    ours = loaded.model.get_input_embeddings().weight
    for word in ("hook", "red", "liver"):
        (token,) = tokenizer(f" {word}").input_ids
        assert torch.equal(ours[token], theirs[words.index(word)]), word
    assert torch.equal(
        loaded.model.llm.transformer.wte.weight, GPT2LMHeadModel.from_pretrained(gpt2).transformer.wte.weight
    )
    with pytest.raises(InputError, match="made of three"):
        family.assemble([video, blip], made)


def test_the_small_model_is_the_same_bytes_each_time(folder: Path, tmp_path: Path) -> None:
    torch.rand(3)
    family.build_small(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert [n for n in names if (folder / n).read_bytes() != (tmp_path / n).read_bytes()] == []
    assert model_folder.count_parameters(folder) < 700_000
    assert files.read_json(folder / "suture.json")["family"] == "surgvivqa"


def test_what_cannot_be_computed_is_refused(folder: Path, model: family.SurgViVQA) -> None:
    with pytest.raises(InputError, match="use attention: sdpa"):
        family.load(folder, attention="flash_attention_2")
    with pytest.raises(InputError, match="each token looks at one"):
        model.collate([model.encode(turn(), still())], pack=True)
    with pytest.raises(InputError, match="56x56"):
        model.check_size(224, 224)
