"""Base models as a user gets them: from a folder or a hub, as safetensors or pickled; what does not fit is refused."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import fake_hub
import fetch_weights
from fake_hub import COMMIT, TOKEN, FakeHub
from support import run_script
from suture import files, model_folder, pickled, weights_table
from suture.errors import InputError
from suture.hub import cached

FAMILIES = ["qwen2_5_vl", "llava_next_video"]


def fetch(model: object, output: Path, *, family: str = "qwen2_5_vl") -> dict[str, Any]:
    """Runs the command in this process, which saves its imports."""
    words = ["--family", family, "--model", str(model), "--output", str(output)]
    fetch_weights.main(fetch_weights.parser().parse_args(words))
    listed: dict[str, Any] = files.read_json(output / "weights.json")
    return listed


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "model"
    fetch("small", out)
    return out


@pytest.fixture
def changed(small: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a model folder whose tensors are the small model's, changed."""

    def make(change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(small, folder)
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_counts_each_place_of_the_model(tmp_path: Path, family: str) -> None:
    listed = fetch("small", tmp_path / "model", family=family)
    table = listed["tensors"]
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model")
    assert table["model"] == type(model).__name__
    assert table["stored"] == len(load_file(tmp_path / "model" / "model.safetensors"))
    assert table["tied"] == ["lm_head.weight"]
    # Each parameter is matched: the tied one is counted once by the library, too.
    assert table["matched"] == len(list(model.parameters())) == table["stored"]
    assert table["missing"] == table["unexpected"] == table["mismatched"] == []


def test_a_folder_is_linked_and_what_is_no_part_of_the_model_is_left_out(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(small, source)
    for name in ("optimizer.pt", "training_args.bin", "notes.md", "adapter/adapter_model.safetensors"):
        files.write_text(source / name, "x")
    (source / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    listed = fetch(source, tmp_path / "out")
    assert listed["source"] == "folder"
    assert listed["model"] is None and str(tmp_path) not in (tmp_path / "out" / "weights.json").read_text()
    assert listed["left_out"] == ["adapter", "notes.md", "optimizer.pt", "training_args.bin"]
    assert listed["license"] == "apache-2.0"
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*listed["files"], "weights.json"}
    assert (tmp_path / "out" / "model.safetensors").samefile(source / "model.safetensors")
    said = capsys.readouterr().out
    assert "56 tensors matched, 1 tied, 0 missing, 0 unexpected, 0 of another shape" in said
    assert "left out: adapter, notes.md" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("visual.merger.mlp.0.bias"), "1 missing, 0 unexpected, 0 of another shape: model.visual"),
        (lambda t: t.update({"surplus.weight": torch.zeros(2)}), "0 missing, 1 unexpected, 0 of another.*surplus"),
        (lambda t: t.update({"visual.merger.mlp.0.bias": torch.zeros(3)}), "0 unexpected, 1 of another shape"),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_weights_that_are_not_the_model_s_are_refused(
    changed: Callable[..., Path], tmp_path: Path, change: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        fetch(changed(change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_which_none_is_the_model_s_are_refused(changed: Callable[..., Path], tmp_path: Path) -> None:
    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[f"student.{name}"] = tensors.pop(name)

    with pytest.raises(InputError, match=": 0 tensors matched"):
        fetch(changed(rename), tmp_path / "out")


def test_a_folder_of_an_unknown_class_is_refused(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    config = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", config | {"architectures": ["NoSuchModel"]})
    with pytest.raises(InputError, match="there is no class NoSuchModel"):
        fetch(folder, tmp_path / "out")
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json"):
        fetch(folder, tmp_path / "out")


def unsafe(folder: Path) -> dict[str, torch.Tensor]:
    """Takes the safetensors out of a model folder and returns them."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    return tensors


@pytest.mark.parametrize("layout", ["one", "shards", "old", "checkpoint"])
def test_pickled_weights_become_equal_safetensors(small: Path, tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    tensors = unsafe(folder)
    tied = tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}  # one tensor under two names
    beside: list[str] = []
    if layout == "one":
        torch.save(tied, folder / "pytorch_model.bin")
    elif layout == "shards":
        names = sorted(tensors)
        for number, part in enumerate((names[:20], names[20:]), start=1):
            torch.save({n: tensors[n] for n in part}, folder / f"pytorch_model-0000{number}-of-00002.bin")
        files.write_json(folder / "pytorch_model.bin.index.json", {"weight_map": {}})
    elif layout == "old":
        torch.save(tied, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    else:
        values = {"epoch": np.float64(3), "args": argparse.Namespace(lr=0.1), "model": tied}
        torch.save(values, folder / "checkpoint.pth")
        beside = ["args", "epoch"]
    listed = fetch(folder, tmp_path / "out")
    assert listed["left_out"] == beside
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert written.keys() == tensors.keys()
    assert all(torch.equal(written[name], tensors[name]) for name in tensors)
    # As the library itself saves it: equal weights have an equal digest, whatever they came in.
    assert model_folder.weights_digest(tmp_path / "out") == model_folder.weights_digest(small)
    assert not list((tmp_path / "out").glob("*.bin*")) and not list((tmp_path / "out").glob("*.pth"))


def test_large_pickled_weights_are_written_in_shards(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "SHARD", "500KB")
    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    tensors = unsafe(folder)
    torch.save(tensors, folder / "pytorch_model.bin")
    listed = fetch(folder, tmp_path / "out")
    assert sum(name.endswith(".safetensors") for name in listed["files"]) > 2
    assert model_folder.tensors(tmp_path / "out").keys() == tensors.keys()
    assert weights_table.compare(tmp_path / "out").matched == len(tensors)


class Payload:
    """Opens as whatever it names."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch /tmp/suture-was-here",)


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_would_run_code_is_refused_by_name(small: Path, tmp_path: Path, old: bool) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    loot = tmp_path / "loot"
    Payload.__reduce__ = lambda self: (os.system, (f"touch {loot}",))  # type: ignore[method-assign]
    weights = unsafe(folder) | {"payload": Payload()}
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not old)
    with pytest.raises(InputError, match=r"the file asks for posix\.system"):
        fetch(folder, tmp_path / "out")
    assert not loot.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK not an archive", "not a file of weights|not a whole file"),
        (None, "holds no weights by name"),
    ],
)
def test_a_damaged_or_empty_file_is_refused(small: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    unsafe(folder)
    if content is None:
        torch.save({"loss": 1.0}, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(InputError, match=said):
        fetch(folder, tmp_path / "out")


def hub_of(folder: Path) -> FakeHub:
    hub = FakeHub({path.name: path.read_bytes() for path in folder.iterdir() if path.name != "weights.json"})
    hub.large = {name for name in hub.files if name.endswith((".safetensors", ".bin"))}
    hub.private = False
    return hub


def from_hub(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str, code: int = 0) -> str:
    """Fetches in a process of its own: the library reads its settings once."""
    with fake_hub.serve(hub) as url:
        for name, value in {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # set by what ran in this process before
        words = ["--family", "qwen2_5_vl", "--model", "someone/a-model", "--output", str(tmp_path / "out")]
        return run_script("fetch_weights", *words, *(more or ("--revision", COMMIT)), code=code)


def test_a_hub_model_is_fetched_once_at_its_commit(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_of(small)
    hub.files["pytorch_model.bin"] = b"never fetched: there are safetensors"
    hub.files["training_args.bin"] = b"never fetched"
    hub.files["README.md"] = b"---\nlicense: apache-2.0\n---\n"
    from_hub(hub, tmp_path, monkeypatch)
    listed = files.read_json(tmp_path / "out" / "weights.json")
    assert (listed["source"], listed["model"], listed["revision"]) == ("hub", "someone/a-model", COMMIT)
    assert listed["license"] == "apache-2.0"
    assert listed["files"]["model.safetensors"] == files.sha256_file(small / "model.safetensors")
    asked = [path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path]
    assert len(asked) == len(set(asked)) == len(listed["files"])
    assert not any(path.endswith(".bin") for path in asked)
    assert {token for _, path, token in hub.requests if "someone/a-model" in path} == {TOKEN}
    assert TOKEN not in (tmp_path / "out" / "weights.json").read_text()
    # Again, and nothing is sent a second time.
    hub.requests.clear()
    shutil.rmtree(tmp_path / "out")
    from_hub(hub, tmp_path, monkeypatch)
    assert not [path for method, path, _ in hub.requests if "/resolve/" in path and method == "GET"]


def test_a_hub_model_that_is_only_there_pickled(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    torch.save(unsafe(folder), folder / "pytorch_model.bin")
    from_hub(hub_of(folder), tmp_path, monkeypatch)
    assert model_folder.weights_digest(tmp_path / "out") == model_folder.weights_digest(small)


def test_a_damaged_download_is_noticed(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_of(small)
    hub.damaged = {"model.safetensors"}
    said = from_hub(hub, tmp_path, monkeypatch, code=2)
    assert "model.safetensors is not what the hub has" in said
    assert not (tmp_path / "out").exists()


def test_what_is_not_pinned_or_not_there_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for revision in (None, "main", "abc123"):
        with pytest.raises(InputError, match=f"is not pinned: revision {revision!r} is no commit"):
            cached("someone/a-model", revision)
    with pytest.raises(InputError, match="is no folder and no hub id"):
        cached("no/such/folder", COMMIT)
    said = from_hub(hub_of(small), tmp_path, monkeypatch, "--revision", "e" * 40, code=2)
    assert "cannot fetch someone/a-model: " in said and "e" * 40 in said


def test_what_is_not_pinned_is_told_its_commit_where_the_hub_answers(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_of(small)
    said = from_hub(hub, tmp_path, monkeypatch, "--revision", "main", code=2)
    assert f"--revision {COMMIT}  is what 'main' is at now" in said
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path], "nothing is fetched"
    hub.private = None
    assert "a commit of the model's page" in from_hub(hub, tmp_path, monkeypatch, "--revision", "main", code=2)


def test_a_token_on_the_command_line_is_refused(tmp_path: Path) -> None:
    words = ["--family", "qwen2_5_vl", "--model", "small", "--output", str(tmp_path / "out"), "--hf_token", TOKEN]
    with pytest.raises(InputError, match="set the environment variable HF_TOKEN") as refused:
        fetch_weights.main(fetch_weights.parser().parse_args(words))
    assert TOKEN not in str(refused.value) and not (tmp_path / "out").exists()
