"""Endo-FM: checkpoints in three layouts, classes, frames, blocks; the published file as it is made."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture import libraries, model_folder
from suture.config.generation import Generation
from suture.config.training import Train
from suture.errors import InputError
from suture.models.base import Video
from suture.records import Turn

libraries.prepare(threads=1)

import torch  # noqa: E402

from suture import endofm_files, weights_table  # noqa: E402
from suture.models import endofm  # noqa: E402
from suture.models.endofm import EndoFM  # noqa: E402
from suture.space_time import SpaceTimeClassifier, SpaceTimeConfig  # noqa: E402
from suture.training import towers  # noqa: E402

SIZES: dict[str, Any] = {"image_size": 32, "patch_size": 8, "hidden_size": 128, "depth": 3, "num_heads": 2}


@pytest.fixture(scope="module")
def model() -> SpaceTimeClassifier:
    torch.manual_seed(5)
    made = SpaceTimeClassifier(SpaceTimeConfig(**SIZES, classes=["a", "b", "c"])).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def pretrained(model: SpaceTimeClassifier) -> dict[str, Any]:
    """The layout of endo_fm.pth: student and teacher of self-supervised training, its heads, its command line."""
    backbone = {f"backbone.{name}": tensor for name, tensor in model.backbone.state_dict().items()}
    teacher = {**backbone, "head.mlp.0.weight": torch.zeros(2, 2), "predictor.weight": torch.zeros(3)}
    student = {f"module.{name}": torch.zeros_like(tensor) for name, tensor in backbone.items()}
    return {"student": student, "teacher": teacher, "epoch": 30, "args": argparse.Namespace(arch="vit_base", lr=1e-3)}


def fine_tuned(model: SpaceTimeClassifier) -> dict[str, Any]:
    """The layout of checkpoint.pth.tar as the fork writes it under DDP, with numpy scores beside the weights."""
    return {
        "epoch": 3,
        "state_dict": {
            "module.linear.weight": model.head.linear.weight.detach(),
            "module.linear.bias": model.head.linear.bias.detach(),
        },
        "backbone_state_dict": {f"module.{name}": t for name, t in model.backbone.state_dict().items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 7.8e-6, "params": [0]}]},
        "scheduler": {"T_max": 30},
        "best_f1": np.float64(0.5),
        "save_reason": "first",
        "args": argparse.Namespace(seed=42),
    }


def bare(model: SpaceTimeClassifier) -> dict[str, Any]:
    return dict(model.backbone.state_dict())


def saved(state: Any, path: Path) -> Path:
    torch.save(state, path)
    return path


def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (2, 8, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("make", [pretrained, fine_tuned, bare])
def test_each_layout_gives_the_backbone_it_holds(model: SpaceTimeClassifier, tmp_path: Path, make: Any) -> None:
    loaded, table = endofm_files.load(saved(make(model), tmp_path / "checkpoint.pth"))
    backbone = model.backbone.state_dict()
    assert table.matched == len(backbone) + (2 if make is fine_tuned else 0)
    assert table.unexpected == []
    assert table.missing == ([] if make is fine_tuned else ["head.linear.bias", "head.linear.weight"])
    assert table.head == ("file" if make is fine_tuned else "new")
    assert all(torch.equal(loaded.backbone.state_dict()[name], tensor) for name, tensor in backbone.items())
    if make is fine_tuned:
        with torch.no_grad():
            assert torch.equal(loaded(pixels()), model(pixels()))
        assert loaded.config.classes == ["0", "1", "2"]


def test_what_has_no_place_is_listed(model: SpaceTimeClassifier, tmp_path: Path) -> None:
    state = {**bare(model), "extra.weight": torch.zeros(1)}
    _, table = endofm_files.load(saved(state, tmp_path / "c.pth"))
    assert table.unexpected == ["backbone.extra.weight"]
    assert "1 unexpected" in table.words


def test_no_tensor_matched_is_an_error(model: SpaceTimeClassifier, tmp_path: Path) -> None:
    """What the published loader did with a fine-tuned file: look for backbone.*, find none, go on."""
    state = {"epoch": 3, "weights_of_something": {"conv1.weight": torch.zeros(3, 3)}}
    with pytest.raises(InputError, match=r"0 matched; it holds epoch, weights_of_something"):
        endofm_files.load(saved(state, tmp_path / "c.pth"))
    with pytest.raises(InputError, match="0 matched"):
        endofm_files.load(saved({"teacher": {"head.weight": torch.zeros(2)}}, tmp_path / "c.pth"))


def test_a_missing_or_misshapen_tensor_is_an_error(model: SpaceTimeClassifier, tmp_path: Path) -> None:
    state = bare(model)
    state.pop("blocks.1.temporal_fc.bias")
    with pytest.raises(InputError, match=r"backbone.blocks.1.temporal_fc.bias is missing"):
        endofm_files.load(saved(state, tmp_path / "c.pth"))
    with pytest.raises(InputError, match=r"blocks.0.norm1.weight is \[7\]"):
        endofm_files.load(saved({**bare(model), "blocks.0.norm1.weight": torch.zeros(7)}, tmp_path / "c.pth"))
    space_only = {name: tensor for name, tensor in bare(model).items() if name != "time_embed"}
    with pytest.raises(InputError, match="not a divided space-time transformer"):
        endofm_files.load(saved(space_only, tmp_path / "c.pth"))


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch run_by_the_checkpoint",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"teacher": {}, "args": _Evil()}, tmp_path / "c.pth")
    with pytest.raises(InputError, match=r"asks for .*system"):
        endofm_files.load(tmp_path / "c.pth")
    (tmp_path / "d.pth").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(InputError):
        endofm_files.load(tmp_path / "d.pth")
    assert not (tmp_path / "run_by_the_checkpoint").exists()


def test_a_file_becomes_a_folder_that_loads(model: SpaceTimeClassifier, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    report = endofm.take_file(saved(fine_tuned(model), tmp_path / "c.pth.tar"), folder, ["x", "y", "z"])
    assert report["words"].startswith("layout backbone_state_dict.module: 69 tensors matched, 0 missing, 0 unexpected")
    table = weights_table.compare(folder, endofm.MODEL)
    assert (table.matched, table.missing, table.unexpected) == (69, [], [])
    loaded = endofm.load(folder)
    assert loaded.classes == ("x", "y", "z")
    with torch.no_grad():
        assert torch.equal(loaded.model(pixels()), model(pixels()))
    with pytest.raises(InputError, match="2 labels for a head of 3 classes"):
        endofm_files.load(tmp_path / "c.pth.tar", ["x", "y"])


def test_the_published_size_can_be_built_and_is_counted(tmp_path: Path) -> None:
    with torch.device("meta"):
        published = SpaceTimeClassifier(SpaceTimeConfig())
    assert sum(p.numel() for p in published.backbone.parameters()) == 121_258_752
    with pytest.raises(InputError, match="no 'swin' to build"):
        endofm.build("swin", tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> EndoFM:
    endofm.build_small(tmp_path / "small")
    return endofm.load(tmp_path / "small")


def options(**given: Any) -> Train:
    return Train(**{"max_steps": 1, "steps_per_job": 1, **given})


def video(frames: int = 8, seed: int = 0) -> Video:
    return Video(frames=np.random.default_rng(seed).integers(0, 256, (frames, 56, 56, 3), dtype=np.uint8))


def turn(answer: str) -> list[Turn]:
    return [Turn(question="Which?", answer=answer, kind="class")]


def test_the_small_model_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        torch.rand(3)
        endofm.build_small(tmp_path / name)
    assert model_folder.weights_digest(tmp_path / "one") == model_folder.weights_digest(tmp_path / "two")


def test_other_classes_get_a_new_head_and_the_same_ones_keep_theirs(small: EndoFM) -> None:
    small.begin(options(), ["b", "a", "a"], classes=None, frames=8)
    assert small.classes == ("a", "b") and small.model.config.classes == ["a", "b"]
    head = small.model.head.linear.weight.clone()
    small.begin(options(seed=1), ["b"], classes=None, frames=8)  # a second stage: all its classes are known
    assert small.classes == ("a", "b") and torch.equal(small.model.head.linear.weight, head)
    small.begin(options(seed=1), ["c", "b"], classes=("c", "a", "b"), frames=8)
    assert small.model.head.linear.weight.shape == (3, 64)
    with pytest.raises(InputError, match="'d' is the class of a training sample"):
        small.begin(options(), ["d"], classes=("a", "b"), frames=8)
    with pytest.raises(InputError, match="two or more classes"):
        small.begin(options(), ["d"], classes=None, frames=8)


def test_another_number_of_frames_resizes_the_time_embeddings(small: EndoFM) -> None:
    torch.nn.init.normal_(small.model.backbone.time_embed)
    batch = small.collate([small.encode(turn("0"), video(32))])
    before = small.generate(batch, Generation(), [0])
    small.begin(options(), ["0", "1"], classes=None, frames=32)
    assert small.model.backbone.time_embed.shape == (1, 32, 64)
    assert small.model.config.num_frames == 32
    assert small.generate(batch, Generation(), [0]) == before  # the published forward stretched them each time


def test_replies_are_the_likeliest_class_with_all_probabilities(small: EndoFM) -> None:
    small.begin(options(), ["polyp", "normal", "cancer"], classes=None, frames=8)
    examples = [small.encode(turn(""), video(seed=seed), for_reply=True) for seed in range(3)]
    batch = small.collate(examples)
    replies = small.generate(batch, Generation(), [0, 0, 0])
    with torch.no_grad():
        chances = small.model(batch["pixels"]).softmax(dim=1)
    for reply, row in zip(replies, chances, strict=True):
        assert reply.text == small.classes[int(row.argmax())]
        assert list(reply.scores) == ["cancer", "normal", "polyp"]
        assert np.exp(list(reply.scores.values())) == pytest.approx(row.tolist(), abs=1e-5)
    alone = [small.generate(small.collate([one]), Generation(), [0])[0].text for one in examples]
    assert alone == [reply.text for reply in replies]


def test_the_loss_is_that_of_the_rows(small: EndoFM) -> None:
    small.begin(options(loss_function="focal_loss", focal_gamma=1.0), ["a", "b"], classes=None, frames=8)
    small.model.eval()
    batch = small.collate([small.encode(turn(answer), video(seed=n)) for n, answer in enumerate("abb")])
    assert batch["labels"].tolist() == [0, 1, 1]
    with torch.no_grad():
        right = small.model(batch["pixels"]).softmax(dim=1)[range(3), [0, 1, 1]]
        expected = ((1 - right) * -right.log()).sum()
        assert small.loss(small.model, batch, 6).item() == pytest.approx(expected.item() / 6, rel=1e-4)


def test_only_the_last_blocks_are_trained(small: EndoFM) -> None:
    chosen = options(n_last_blocks=1)
    small.begin(chosen, ["a", "b"], classes=None, frames=8)
    counts = towers.freeze(small, chosen.frozen)
    trained = {name for name, parameter in small.model.named_parameters() if parameter.requires_grad}
    assert {name.rpartition(".")[0].split(".")[1] for name in trained} == {"blocks", "norm", "linear"}
    assert all(name.startswith(("backbone.blocks.2.", "backbone.norm.", "head.")) for name in trained)
    assert counts["trainable"] == sum(p.numel() for n, p in small.model.named_parameters() if n in trained)
    with pytest.raises(InputError, match="n_last_blocks is 4; there are 3 blocks"):
        small.begin(options(n_last_blocks=4), ["a", "b"], classes=None, frames=8)


def test_a_frozen_backbone_leaves_the_head(small: EndoFM) -> None:
    chosen = options(freeze_vision=True)
    small.begin(chosen, ["a", "b"], classes=None, frames=8)
    assert towers.freeze(small, chosen.frozen)["trainable"] == 2 * 64 + 2


def test_frames_are_made_of_whole_patches(small: EndoFM) -> None:
    small.check_size(56, 112)
    with pytest.raises(InputError, match="not made of patches of 14 x 14"):
        small.check_size(56, 60)
    assert small.count_tokens([], (8, 56, 56)) == 1 + 8 * 16


def test_what_a_classifier_cannot_be_asked(small: EndoFM) -> None:
    with pytest.raises(InputError, match="one question a clip"):
        small.encode([*turn("0"), *turn("1")], video())
    with pytest.raises(InputError, match="'polyp' is none of the classes 0, 1"):
        small.encode(turn("polyp"), video())
    with pytest.raises(InputError, match="needs the frames"):
        small.encode(turn("0"), None)
