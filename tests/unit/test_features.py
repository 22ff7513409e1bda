"""Cached features: what the tower would give, to the bit, or a refusal that says why."""

from __future__ import annotations

import dataclasses
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support import SCRIPTS
from suture import features, registry
from suture.arrays import RowWriter
from suture.config.features import arithmetic, refusal
from suture.config.training import Train
from suture.errors import InputError
from suture.frames import CachedClip
from suture.models.base import Features, Video
from suture.records import Turn
from suture.training import adapters

CPU = torch.device("cpu")
CLIPS = ("a", "b", "c")


def options(**changed: Any) -> Train:
    return Train(**{"max_steps": 4, "steps_per_job": 4, "precision": "fp32", **changed})


@pytest.fixture(scope="module", params=["qwen2_5_vl", "llava_next_video"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / request.param
    family = registry.family(request.param)
    family.build_small(folder)
    return family, folder


def video_of(clip: str) -> Video:
    seed = ord(clip)
    frames = np.random.default_rng(seed).integers(0, 256, (2 + seed % 3, 56, 56, 3), dtype=np.uint8)
    return Video(frames=frames, frame_seconds=0.5)


def line(clip: str, **changed: Any) -> CachedClip:
    n, height, width, _ = video_of(clip).frames.shape
    fields = {
        "clip": clip,
        "case": "case",
        "array": "frames.npy",
        "row": 0,
        "n_frames": n,
        "height": height,
        "width": width,
        "indices": tuple(range(n)),
        "frame_seconds": 0.5,
        "clip_sha256": f"file {clip}",
        "pixels_sha256": f"pixels {clip}",
        "decoder": "none",
        "decoder_version": "0",
    }
    return CachedClip(**fields | changed)


def cached(model: Any, folder: Path, target: Path, precision: str = "fp32") -> features.FeatureCache:
    """Writes and opens a shard of all clips, and of one that has no frames."""

    def compute(clip: CachedClip) -> torch.Tensor:
        with features.arithmetic_of(precision, CPU):
            return model.features([video_of(clip.clip)])[0]

    broken = line("d", n_frames=0, indices=(), rejected="truncated")
    features.write_shard(
        [broken, *(line(clip) for clip in reversed(CLIPS))],
        compute=compute,
        maker=features.maker_of(model, folder, precision),
        manifest=target / "shard.jsonl",
        array=target / "shard.npy",
    )
    return features.FeatureCache([target / "shard.jsonl"])


def turns(clip: str) -> list[Turn]:
    return [
        Turn(question="Which phase is shown?", answer="Incision." if clip == "a" else "Phaco.", kind="phase"),
        Turn(question="Is a knife there?", answer="yes" if clip == "a" else "no", kind="knife"),
    ]


def logits_of(model: Any, video: Video | Features, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns loss and logits of one conversation, as the training loop computes them."""
    seen: list[torch.Tensor] = []
    head = model.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    with features.arithmetic_of(precision, CPU):
        loss = model.loss(model.model, model.collate([model.encode(turns("a"), video)]), None)
    hook.remove()
    return loss, seen[0]


@pytest.mark.parametrize(
    ("adapter", "precision"),
    [("use_lora", "fp32"), ("use_lora", "bf16"), ("use_lora", "fp16"), ("", "bf16"), ("use_qlora", "bf16")],
)
def test_logits_from_cached_features_are_those_of_the_live_path_to_the_bit(
    base: tuple[Any, Path], tmp_path: Path, adapter: str, precision: str
) -> None:
    family, folder = base
    frozen = {"freeze_vision": True, "freeze_projector": True}
    wanted = options(precision=precision, **({adapter: True} if adapter else frozen))
    # The job that makes the cache knows nothing of adapters and of 4 bits.
    alone = family.load(folder, dtype=features.PRECISIONS[arithmetic(wanted).weights])
    cache = cached(alone, folder, tmp_path, precision)
    model = family.load(folder, **adapters.base_options(wanted))
    cache.check(features.maker_of(model, folder, precision), [line(clip) for clip in CLIPS])
    if adapter:
        adapters.attach(model, wanted)
    model.model.train()
    with torch.no_grad():  # adapters begin as nothing; let them say something
        for name, parameter in model.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    torch.manual_seed(0)
    live_loss, live = logits_of(model, video_of("a"), precision)
    torch.manual_seed(0)
    loss, found = logits_of(model, cache.features("a"), precision)
    assert torch.equal(found, live)
    assert torch.equal(loss, live_loss)
    # ... and another clip's are others.
    torch.manual_seed(0)
    _, other = logits_of(model, cache.features("b"), precision)
    assert not torch.equal(other, live)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_run_from_features_is_the_run_from_frames(base: tuple[Any, Path], tmp_path: Path, batch: int) -> None:
    family, folder = base
    wanted = options(use_lora=True, lora_dropout=0.1)

    def run(cache: features.FeatureCache | None) -> tuple[list[float], dict[str, torch.Tensor]]:
        model = family.load(folder, **adapters.base_options(wanted))
        adapters.attach(model, wanted)
        features.check_frozen(model)
        model.model.train()
        learnt = {name: p for name, p in model.model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(learnt.values(), lr=1e-2)
        losses = []
        order = itertools.cycle(CLIPS)
        for _ in range(6):
            clips = [next(order) for _ in range(batch)]
            examples = [model.encode(turns(c), cache.features(c) if cache else video_of(c)) for c in clips]
            loss = model.loss(model.model, model.collate(examples), None)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        return losses, {name: p.detach().clone() for name, p in learnt.items()}

    live, live_weights = run(None)
    found, weights = run(cached(family.load(folder), folder, tmp_path))
    assert live[-1] < live[0]
    if batch == 1:
        assert found == live
        assert all(torch.equal(weights[name], live_weights[name]) for name in live_weights)
    else:
        # The tower sees the videos of a batch together, the cache saw each alone: sums differ in their last bits.
        assert found == pytest.approx(live, abs=1e-6)


def test_the_tower_is_not_run(base: tuple[Any, Path], tmp_path: Path) -> None:
    family, folder = base
    model = family.load(folder)
    cache = cached(model, folder, tmp_path)
    for module in [name for tower in ("vision", "projector") for name in model.towers[tower]]:
        found = dict(model.model.named_modules()).get(module)
        if found is not None:
            found.register_forward_pre_hook(lambda *_: pytest.fail("the tower was run"))
    with pytest.raises(pytest.fail.Exception, match="the tower was run"):
        logits_of(model, video_of("a"), "fp32")
    logits_of(model, cache.features("a"), "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_nothing_is_lost_on_the_disk(base: tuple[Any, Path], tmp_path: Path, precision: str) -> None:
    family, folder = base
    model = family.load(folder, dtype=torch.bfloat16 if precision == "bf16" else None)
    cache = cached(model, folder, tmp_path, precision)
    assert len(cache) == len(CLIPS)
    assert "d" not in cache
    assert cache.rejected["d"].rejected == "truncated"
    for clip in CLIPS:
        with features.arithmetic_of(precision, CPU):
            (tokens,) = model.features([video_of(clip)])
        found = cache.features(clip)
        assert found.tokens.dtype == tokens.dtype == features.PRECISIONS[precision]
        assert torch.equal(found.tokens, tokens)
        assert (found.shape, found.frame_seconds) == (video_of(clip).frames.shape[:3], 0.5)
        entry = cache.entry(clip)
        assert model.count_tokens(turns(clip), found.shape) - entry.n_tokens < 100
    stored = np.load(tmp_path / "shard.npy", mmap_mode="r")
    assert stored.dtype == {"fp32": "<f4", "bf16": "<u2", "fp16": "<f2"}[precision]
    assert stored.shape == (sum(cache.entry(clip).n_tokens for clip in CLIPS), 64)


def test_a_cache_made_otherwise_is_refused_and_it_is_said_how(base: tuple[Any, Path], tmp_path: Path) -> None:
    family, folder = base
    model = family.load(folder)
    cache = cached(model, folder, tmp_path)
    here = features.maker_of(model, folder, "fp32")
    lines = [line(clip) for clip in CLIPS] + [line("d", rejected="truncated")]
    cache.check(here, lines)
    cache.check(features.maker_of(family.load(folder), folder, "fp32"), lines)
    for changed, said in (
        ({"transformers": "4.48.0"}, f"transformers {here.transformers}, here 4.48.0"),
        ({"torch": "1.0"}, f"torch {here.torch}, here 1.0"),
        ({"precision": "bf16"}, "precision fp32, here bf16"),
        ({"attention": "eager"}, "attention sdpa, here eager"),
        ({"settings": "0"}, "other settings of processor or vision tower"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            cache.check(dataclasses.replace(here, **changed), lines)
    for other in (line("b", pixels_sha256="0"), line("b", frame_seconds=1.0), line("d", rejected=""), line("d")):
        with pytest.raises(InputError, match=f"clip '{other.clip}' were made of other frames"):
            cache.check(here, [line("a"), other])
    bf16 = features.maker_of(family.load(folder, dtype=torch.bfloat16), folder, "fp32")
    with pytest.raises(InputError, match="other weights of vision tower or projector; weights dtype fp32, here bf16"):
        cache.check(bf16, lines)


def test_weights_of_the_language_model_do_not_matter_those_of_the_towers_do(base: tuple[Any, Path]) -> None:
    family, folder = base
    model = family.load(folder)
    before = features.maker_of(model, folder, "fp32")
    named = dict(model.model.named_parameters())
    with torch.no_grad():
        for name in (n for n in named if n.startswith(model.language_model)):
            named[name].add_(1)
        assert features.maker_of(model, folder, "fp32") == before
        for tower in ("vision", "projector"):
            name = next(n for n in named if features.tower_of(n, model.towers) == tower)
            kept = named[name].clone()
            named[name].view(-1)[0] += 1e-3
            assert features.maker_of(model, folder, "fp32") != before
            named[name].copy_(kept)
    assert features.maker_of(model, folder, "fp32") == before


def test_settings_of_the_processor_matter_who_saved_it_does_not(base: tuple[Any, Path], tmp_path: Path) -> None:
    folder = base[1]
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.glob("*.json"):
        (copy / path.name).write_bytes(path.read_bytes())

    def edit(name: str, before: str, after: str) -> None:
        text = (copy / name).read_text()
        assert before in text
        (copy / name).write_text(text.replace(before, after, 1))

    known = features.settings_digest(folder)
    edit("config.json", '"transformers_version": "', '"transformers_version": "1')
    edit("config.json", '"vocab_size": 2', '"vocab_size": 3')
    assert features.settings_digest(copy) == known
    edit("processor_config.json", "0.48145466", "0.5")
    changed = features.settings_digest(copy)
    edit("config.json", '"patch_size": 14', '"patch_size": 16')
    assert len({known, changed, features.settings_digest(copy)}) == 3


def test_an_array_of_another_manifest_is_refused(base: tuple[Any, Path], tmp_path: Path) -> None:
    family, folder = base
    cached(family.load(folder), folder, tmp_path)
    whole = np.load(tmp_path / "shard.npy")
    np.save(tmp_path / "shard.npy", whole[:-1])
    with pytest.raises(InputError, match="its manifest says float32"):
        features.FeatureCache([tmp_path / "shard.jsonl"])
    (tmp_path / "shard.npy").write_bytes((tmp_path / "shard.npy").read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        features.FeatureCache([tmp_path / "shard.jsonl"])
    (tmp_path / "shard.npy").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        features.FeatureCache([tmp_path / "shard.jsonl"])


def test_overflow_is_refused_and_leaves_nothing(base: tuple[Any, Path], tmp_path: Path) -> None:
    family, folder = base
    model = family.load(folder)
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if features.tower_of(name, model.towers) == "projector":
                parameter.fill_(float("inf"))
    with pytest.raises(InputError, match="features that are not numbers in fp32"):
        cached(model, folder, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"use_lora": True}, None),
        ({"use_qlora": True, "precision": "bf16"}, None),
        ({"use_lora": True, "lora_targets": "re:.*q_proj"}, None),
        ({"freeze_vision": True, "freeze_projector": True}, None),
        ({"use_lora": True, "augment": True}, "`augment` varies the frames"),
        ({"use_lora": True, "lora_vision_targets": "all-linear"}, "`lora_vision_targets` trains"),
        ({}, "`freeze_vision: true` and `freeze_projector: true`"),
        ({"freeze_vision": True}, "add `freeze_projector: true`"),
        ({"freeze_projector": True, "freeze_language": True}, "add `freeze_vision: true`"),
    ],
)
def test_features_are_for_runs_that_leave_what_they_stand_for_alone(changed: dict[str, Any], said: str | None) -> None:
    found = refusal(options(**changed))
    assert found == said if said is None else said in str(found)


def test_an_expression_that_reaches_into_the_tower_is_refused_once_the_model_is_there(base: tuple[Any, Path]) -> None:
    family, folder = base
    for targets, refused in (("re:.*language_model.*q_proj", False), (r"re:.*(q_proj|qkv|linear_1)", True)):
        wanted = options(use_lora=True, lora_targets=targets)
        model = family.load(folder, **adapters.base_options(wanted))
        adapters.attach(model, wanted)
        if refused:
            with pytest.raises(InputError, match="parameters of vision tower and projector are trained"):
                features.check_frozen(model)
        else:
            features.check_frozen(model)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("adapter", [{}, {"use_lora": True}, {"use_qlora": True}])
def test_weights_are_held_as_the_loop_holds_them(precision: str, adapter: dict[str, bool]) -> None:
    wanted = options(precision=precision, **adapter)
    held = adapters.base_options(wanted).get("dtype") or torch.float32
    assert features.PRECISIONS[arithmetic(wanted).weights] == held


def test_each_arithmetic_has_a_folder_of_its_own_and_deciding_takes_no_torch() -> None:
    every = [
        arithmetic(options(precision=precision, attention=attention, use_lora=lora))
        for precision in ("fp32", "bf16", "fp16")
        for attention in ("sdpa", "eager", "flash_attention_2")
        if (precision, attention) != ("fp32", "flash_attention_2")
        for lora in (True, False)
    ]
    assert len({one.key for one in every}) == len(set(every)) == 11
    assert arithmetic(options(precision="bf16", use_lora=True)).key == "bf16"
    code = "import suture.config.features, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=False).returncode == 0


def test_rows_are_those_written_in_any_number(tmp_path: Path) -> None:
    rows = np.arange(30, dtype="<f2").reshape(10, 3)
    writer = RowWriter(tmp_path / "rows.npy", (3,), rows.dtype)
    for part in np.split(rows, [1, 1, 7]):
        writer.append(part)
    with pytest.raises(ValueError, match="rows are float32"):
        writer.append(rows.astype(np.float32))
    with pytest.raises(ValueError, match="the array holds float16"):
        writer.append(rows[:, :2])
    writer.close()
    assert np.array_equal(np.load(tmp_path / "rows.npy"), rows)
