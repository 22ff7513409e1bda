"""What every model family promises (suture/models/base.py), on its small model and against the library's own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture import libraries, model_folder, registry
from suture.config.generation import Generation
from suture.config.training import Train, with_family_defaults
from suture.errors import InputError
from suture.models.base import Example, Features, Reply, Video, VideoModel
from suture.records import Turn

libraries.prepare(threads=1)

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402

from suture.training.towers import is_inside, tower_of  # noqa: E402

TURNS = (
    Turn(question="Which surgical phase is shown?", answer="The phase is lens implantation.", kind="phase"),
    Turn(question="Which instruments are visible?", answer="No instrument is visible.", kind="instruments"),
    Turn(question="Zähl: wie viele?", answer="1,5 ≈ „zwei“ <b>&amp;</b>", kind="other"),
)


@pytest.fixture(
    scope="module",
    params=[n for n in registry.names("model family") if "ANSWERS" not in registry.literals("model family", n)],
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(name) / "small"
    registry.family(name).build_small(path)
    return path


@pytest.fixture(scope="module")
def model(name: str, folder: Path) -> VideoModel:
    loaded: VideoModel = registry.family(name).load(folder)
    return loaded


def video(n: int = 8, seed: int = 0, seconds: float = 0.5) -> Video:
    frames = np.random.default_rng(seed).integers(0, 256, (n, 56, 56, 3), dtype=np.uint8)
    return Video(frames=frames, frame_seconds=seconds)


def examples(model: VideoModel) -> list[Example]:
    return [
        model.encode(TURNS, video()),
        model.encode(TURNS[:1], video(5, seed=1, seconds=0.3)),
        model.encode(TURNS[1:], video(2, seed=2)),
    ]


def prompt_and_its_features(model: VideoModel) -> tuple[Example, Example]:
    shown = video()
    made = Features(tokens=model.features([shown])[0], shape=(8, 56, 56), frame_seconds=shown.frame_seconds)
    live, fed = (model.encode(TURNS[:2], one, for_reply=True) for one in (shown, made))
    return live, fed


def answers(model: VideoModel, prompts: Sequence[Example], seeds: Sequence[int], **settings: Any) -> list[Reply]:
    batch = model.collate(prompts, pad_left=True)
    return model.generate(batch, Generation(**{"max_new_tokens": 12, **settings}), seeds)


def placeholder(model: VideoModel) -> int:
    """The token that stands for what is shown."""
    found: int = getattr(model.model.config, model.placeholder)  # type: ignore[attr-defined]
    return found


def pixels(batch: dict[str, Any]) -> str:
    """The name under which the library's model takes what is shown."""
    (name,) = (name for name in batch if name.startswith("pixel_values"))
    return name


def tokenizer(model: VideoModel) -> Any:
    return model.tokenizer  # type: ignore[attr-defined]


def chat(model: VideoModel, turns: Sequence[Turn]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [{"role": "system", "content": [{"type": "text", "text": model.system_prompt}]}]
    for number, turn in enumerate(turns):
        text = {"type": "text", "text": turn.question}
        out.append({"role": "user", "content": [{"type": "video"}, text] if number == 0 else [text]})
        out.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return out


def test_the_small_model_is_the_same_bytes_each_time(name: str, folder: Path, tmp_path: Path) -> None:
    torch.rand(3)  # the generator's state before must not matter
    registry.family(name).build_small(tmp_path)
    names = sorted(p.name for p in folder.iterdir())
    assert "model.safetensors" in names
    assert names == sorted(p.name for p in tmp_path.iterdir())
    assert [n for n in names if (folder / n).read_bytes() != (tmp_path / n).read_bytes()] == []
    loaded = AutoModelForImageTextToText.from_pretrained(folder)
    assert sum(p.numel() for p in loaded.parameters()) == model_folder.count_parameters(folder) < 500_000


@pytest.mark.parametrize("turns", [TURNS, TURNS[:1], TURNS[::-1]])
def test_labels_are_the_templates_own_assistant_mask(model: VideoModel, turns: tuple[Turn, ...]) -> None:
    own = tokenizer(model).apply_chat_template(
        chat(model, turns), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    masked = [i if m else -100 for i, m in zip(own["input_ids"], own["assistant_masks"], strict=True)]
    # What a text starts with, where the template does not say it.
    opening = [] if tokenizer(model).bos_token_id in own["input_ids"] else tokenizer(model)("").input_ids
    example, place = model.encode(turns, video()), placeholder(model)
    at, count = own["input_ids"].index(place), example.input_ids.count(place)
    assert count > 8
    assert example.input_ids == [*opening, *own["input_ids"][:at], *[place] * count, *own["input_ids"][at + 1 :]]
    assert example.labels == [*[-100] * len(opening), *masked[:at], *[-100] * count, *masked[at + 1 :]]
    learnt = tokenizer(model).decode([label for label in example.labels if label != -100])
    end = learnt[learnt.rindex(turns[-1].answer) + len(turns[-1].answer) :]
    # One token, but for LLaVA's first way to talk, which closes the turn too.
    assert len(tokenizer(model)(end, add_special_tokens=False).input_ids) == (3 if end.startswith("\n###") else 1)
    assert "".join(learnt.split()) == "".join("".join(turn.answer + end for turn in turns).split())


@pytest.mark.parametrize("n", [1, 5, 8])
def test_inputs_equal_those_of_the_librarys_processor(model: VideoModel, folder: Path, n: int) -> None:
    if not hasattr(model.processor, "video_processor"):  # type: ignore[attr-defined]
        pytest.skip("its processor takes images alone: see the family's own tests")
    shown = video(n)
    theirs = AutoProcessor.from_pretrained(folder)(
        text=[tokenizer(model).apply_chat_template(chat(model, TURNS), tokenize=False)],
        videos=[torch.from_numpy(shown.frames).permute(0, 3, 1, 2)],
        videos_kwargs={"do_resize": False, "do_sample_frames": False},
        return_tensors="pt",
    )
    ours = model.collate([model.encode(TURNS, shown)])
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    assert ours["pixel_values_videos"].shape == theirs["pixel_values_videos"].shape
    assert (ours["pixel_values_videos"] - theirs["pixel_values_videos"]).abs().max() <= 2.4e-7
    assert model.count_tokens(TURNS, (n, 56, 56)) == ours["input_ids"].shape[1]


def test_a_prompt_is_the_start_of_what_was_learnt(model: VideoModel) -> None:
    whole = model.encode(TURNS, video())
    for number in range(len(TURNS)):
        prompt = model.encode(TURNS[: number + 1], video(), for_reply=True)
        assert whole.input_ids[: len(prompt.input_ids)] == prompt.input_ids
        assert whole.labels[len(prompt.input_ids)] != -100
        assert set(prompt.labels) == {-100}


def test_the_answer_asked_for_is_not_in_the_prompt(model: VideoModel) -> None:
    secret = Turn(question="What?", answer="spatula", kind="x")
    assert "spatula" not in tokenizer(model).decode(model.encode([secret], None, for_reply=True).input_ids)


def test_loss_and_gradients_are_the_librarys(model: VideoModel, folder: Path) -> None:
    original = AutoModelForImageTextToText.from_pretrained(folder)
    batch = model.collate([model.encode(TURNS, video()), model.encode(TURNS[:1], video(seed=1, seconds=0.3))])
    frames = batch[pixels(batch)]
    if frames.ndim == 5:  # the library wants videos of one length in a batch of their own
        frames = frames.unflatten(1, (2, 8)).flatten(0, 1)
    theirs = original(**{**batch, pixels(batch): frames}).loss
    theirs.backward()
    ours = model.loss(model.model, batch, None)
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), abs=2e-6)
    with torch.no_grad():
        n = int((batch["labels"] != -100).sum())
        assert model.loss(model.model, batch, 2 * n).item() == pytest.approx(theirs.item() / 2, abs=2e-6)
    expected = dict(original.named_parameters())
    for parameter_name, parameter in model.model.named_parameters():
        # What the loss never reaches is named, and nothing else is.
        assert (parameter.grad is None) == is_inside(parameter_name, model.unused), parameter_name
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, expected[parameter_name].grad, atol=1e-5), parameter_name
    model.model.zero_grad()


def test_a_packed_row_learns_what_a_padded_batch_learns(model: VideoModel) -> None:
    gradients = []
    for pack in (False, True):
        batch = model.collate(examples(model), pack=pack)
        loss = model.loss(model.model, batch, 10)
        loss.backward()
        found = {n: p.grad.clone() for n, p in model.model.named_parameters() if p.grad is not None}
        gradients.append((loss.item(), batch["input_ids"].numel(), found))
        model.model.zero_grad()
    (padded, width, wanted), (packed, fewer, found) = gradients
    assert packed == pytest.approx(padded, rel=1e-5)
    assert fewer == sum(len(e.input_ids) for e in examples(model)) < width
    for parameter, gradient in wanted.items():
        assert torch.allclose(found[parameter], gradient, rtol=1e-3, atol=1e-5), parameter


def test_packed_examples_do_not_see_each_other(model: VideoModel) -> None:
    def logits(packed: Sequence[Example]) -> torch.Tensor:
        batch = model.collate(packed, pack=True)
        with torch.no_grad():
            out: torch.Tensor = model.model(**{k: v for k, v in batch.items() if k != "labels"}, use_cache=False).logits
        return out

    one, two, three = examples(model)
    size = len(two.input_ids)
    other = model.encode(TURNS[::-1], video(seed=9))
    before, after = logits([one, two, three]), logits([other, two, three])
    others = slice(-len(three.input_ids) - size, None)
    assert torch.allclose(before[0, others], after[0, others], atol=1e-5)
    assert not torch.allclose(before[0, 40:60], after[0, 40:60], atol=0.1)


def test_packing_is_refused_where_examples_would_see_each_other(name: str, folder: Path) -> None:
    eager = registry.family(name).load(folder, attention="eager")
    with pytest.raises(InputError, match="use attention: sdpa"):
        eager.collate(examples(eager), pack=True)


def test_an_attention_that_is_not_there_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(InputError, match="flash_attention_2"):
        registry.family(name).load(folder, attention="flash_attention_2")


def test_features_stand_for_frames_to_the_bit(model: VideoModel) -> None:
    videos = [video(), video(5, seed=1, seconds=0.3), video(2, seed=2)]
    turns = [TURNS, TURNS[:1], TURNS[1:]]
    model.model.train()
    made = model.features(videos)
    assert model.model.training
    assert all(tensor.grad_fn is None and not tensor.is_inference() for tensor in made)
    cached = [
        Features(tokens=tensor, shape=tuple(one.frames.shape[:3]), frame_seconds=one.frame_seconds)
        for tensor, one in zip(made, videos, strict=True)
    ]
    live = [model.encode(t, v) for t, v in zip(turns, videos, strict=True)]
    fed = [model.encode(t, f) for t, f in zip(turns, cached, strict=True)]
    assert [(e.input_ids, e.labels) for e in live] == [(e.input_ids, e.labels) for e in fed]
    model.model.eval()
    for one, other in zip(live, fed, strict=True):
        batches = [model.collate([example]) for example in (one, other)]
        assert not any(name.startswith("pixel_values") for name in batches[1])
        losses = [model.loss(model.model, batch, None) for batch in batches]
        assert losses[0].item() == losses[1].item()
    for pack in (False, True):
        found = [model.loss(model.model, model.collate(both, pack=pack), None).item() for both in (live, fed)]
        assert found[0] == pytest.approx(found[1], rel=1e-6)
    with pytest.raises(InputError, match="rows of features"):
        model.encode(TURNS, Features(tokens=made[0][:-1], shape=cached[0].shape, frame_seconds=0.5))


def test_answers_from_features_are_those_from_frames(model: VideoModel) -> None:
    live, fed = prompt_and_its_features(model)
    calls: list[int] = []
    tower = next(module for name, module in model.model.named_modules() if name in model.towers["vision"])
    hook = tower.register_forward_hook(lambda *_: calls.append(1))
    try:
        for settings in ({}, {"temperature": 0.9}):
            of_frames, n = answers(model, [live], [1], **settings), len(calls)
            assert answers(model, [fed], [1], **settings) == of_frames
            assert len(calls) == n > 0  # the tower was not run again
            calls.clear()
    finally:
        hook.remove()
    assert answers(model, [fed, fed], [1, 2]) == answers(model, [live, live], [1, 2])


def test_settings_that_a_model_folder_brings_are_not_used(model: VideoModel) -> None:
    prompt = [model.encode(TURNS[:1], video(), for_reply=True)]
    plain, brought = answers(model, prompt, [0]), model.model.generation_config
    model.model.generation_config = type(brought)(no_repeat_ngram_size=1, num_beams=3, min_new_tokens=12)
    try:
        assert answers(model, prompt, [0]) == plain
        assert model.model.generation_config.num_beams == 3  # and they are still the folder's
    finally:
        model.model.generation_config = brought


def test_neighbours_in_a_batch_change_nothing(model: VideoModel) -> None:
    prompts = [
        model.encode(TURNS[:2], video(), for_reply=True),
        model.encode(TURNS[:1], video(4, seed=1), for_reply=True),
        model.encode(TURNS[:3], video(seed=2), for_reply=True),
    ]
    # A model may want to say what rows are padded with: to a penalty padding is no word that was said.
    bias = torch.zeros(model.model.config.text_config.vocab_size)
    bias[tokenizer(model).pad_token_id] = 4.0
    hook = model.model.get_output_embeddings().register_forward_hook(lambda _m, _i, out: out + bias)
    try:
        for settings in ({}, {"temperature": 0.9, "top_p": 0.9}, {"temperature": 0.6, "repetition_penalty": 3.0}):
            together = answers(model, prompts, [1, 2, 3], **settings)
            alone = [answers(model, [p], [s], **settings)[0] for p, s in zip(prompts, [1, 2, 3], strict=True)]
            assert together == alone
    finally:
        hook.remove()


def test_draws_follow_their_seeds_and_greedy_answers_none(model: VideoModel) -> None:
    prompt = [model.encode(TURNS[:1], video(), for_reply=True)]
    drawn = [answers(model, prompt, [seed], temperature=1.0)[0].text for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert answers(model, prompt, [1]) == answers(model, prompt, [2])
    assert answers(model, prompt, [1], temperature=1.0, top_k=1) == answers(model, prompt, [2])


def test_a_repetition_penalty_reaches_the_decoder(model: VideoModel) -> None:
    prompt = [model.encode(TURNS[:1], video(), for_reply=True)]
    plain, varied = (
        tokenizer(model)(answers(model, prompt, [0], max_new_tokens=40, repetition_penalty=p)[0].text).input_ids
        for p in (1.0, 1.8)
    )
    assert len(set(varied)) / len(varied) > len(set(plain)) / len(plain)


def test_an_answer_that_did_not_end_is_marked(model: VideoModel) -> None:
    prompt = [model.encode(TURNS[:1], video(), for_reply=True)]
    assert answers(model, prompt, [0], max_new_tokens=1)[0].truncated
    bias = torch.full((model.model.config.text_config.vocab_size,), -1e4)
    bias[tokenizer(model).eos_token_id] = 1e4
    hook = model.model.get_output_embeddings().register_forward_hook(lambda _m, _i, out: out + bias)
    try:
        assert answers(model, prompt, [0], max_new_tokens=1) == [Reply(text="", truncated=False)]
    finally:
        hook.remove()


def test_each_parameter_has_its_tower(model: VideoModel) -> None:
    towers = {n: tower_of(n, model.towers) for n, _ in model.model.named_parameters()}
    assert set(towers.values()) == {"vision", "projector", "language"}
    inside = {n for n in towers if is_inside(n, [model.language_model])}
    assert inside <= {n for n, tower in towers.items() if tower == "language"}


def test_the_published_model_has_the_same_parts(model: VideoModel) -> None:
    # The library's own configuration: no weights, but the published depth and width.
    with torch.device("meta"):
        published = type(model.model)(type(model.model.config)())

    def names(module: torch.nn.Module) -> set[str]:
        return {re.sub(r"\d+", "0", name) for name, _ in module.named_parameters()} - {"lm_head.weight"}  # tied here

    assert names(published) == names(model.model)
    if hasattr(published, "model"):  # the library's default for BLIP-2 has a smaller language model than the published
        assert sum(parameter.numel() for parameter in published.parameters()) > 7e9
    assert {tower_of(name, model.towers) for name, _ in published.named_parameters()} == set(model.towers)
    assert isinstance(published.get_submodule(model.language_model), torch.nn.Module)
    assert set(model.towers["vision"]) <= {n for n, _ in published.named_modules()}


def test_published_defaults_are_options_there_are(name: str) -> None:
    found = registry.literals("model family", name)
    defaults = dict(found["TRAIN_DEFAULTS"])
    assert defaults.pop("num_epochs") >= 1
    assert set(defaults) <= set(Train.model_fields)
    options = Train.model_validate(with_family_defaults({"max_steps": 1, "steps_per_job": 1}, defaults))
    assert options.adapter == (None if name == "llava_med" else "qlora")
    assert {"model_id", "hub_model_id", "save_dir"} <= set(found["PUBLISHED"])


def test_weights_that_do_not_fit_are_refused(name: str, folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = load_file(broken / "model.safetensors")
    lost = next(n for n in sorted(weights) if n.endswith("norm.weight"))
    weights["model.unheard_of"] = weights.pop(lost)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 missing .*norm.weight.*1 unexpected .*unheard_of"):
        registry.family(name).load(broken)
    (broken / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        registry.family(name).load(broken)


def test_a_folder_without_its_tokenizer_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    # The library makes some an empty one, which reads every text as nothing.
    for missing in (["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]):
        broken = tmp_path / str(len(missing))
        shutil.copytree(folder, broken, ignore=shutil.ignore_patterns(*missing))
        with pytest.raises(InputError, match=r"no processor|the tokenizer does not know"):
            registry.family(name).load(broken)


def test_the_system_prompt_is_the_one_stored_with_the_model(name: str, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    model_folder.write_card(other, family=name, system_prompt="Be brief.")
    assert registry.family(name).load(other).system_prompt == "Be brief."
    given = registry.family(name).load(other, "Be exact.")
    said = tokenizer(given).decode(given.encode(TURNS, None).input_ids)
    assert "Be exact." in said[:60]
    (other / "suture.json").write_text(json.dumps({"schema": 1, "family": "another", "system_prompt": ""}))
    with pytest.raises(InputError, match=f"family 'another', not '{name}'"):
        registry.family(name).load(other)
