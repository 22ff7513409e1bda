"""Publishing: what is pushed, what its page says, and what is never pushed. The hub is a server on this machine."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import export_model
import fake_hub
import fetch_weights
import push_to_hub
from fake_hub import NEW_COMMIT, TOKEN, FakeHub
from support import run_script
from suture import files, ledger, model_folder
from suture.config.training import Train
from suture.errors import InputError
from suture.ledger import Entry

REVISION = "a" * 40
FRAMES = {"count": None, "fps": 2.0, "height": 56, "width": 56}


def run(command: Any, *words: object) -> None:
    command.main(command.parser().parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base model that says it is from the hub."""
    out = tmp_path_factory.mktemp("base") / "model"
    run(fetch_weights, "--family", "qwen2_5_vl", "--model", "small", "--output", out)
    listed = files.read_json(out / "weights.json")
    origin = {"source": "hub", "model": "Qwen/Small", "revision": REVISION, "license": "apache-2.0"}
    files.write_json(out / "weights.json", listed | origin)
    files.write_text(out / "README.md", "# The base's own page")
    return out


def checkpoint(base: Path, folder: Path, *, adapter: str | None) -> Path:
    """What train.py would leave after 40 steps; the weights are the base's with a little noise."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    options = Train(max_steps=40, steps_per_job=40, precision="fp32", use_lora=bool(adapter), r=4 if adapter else 8)
    if adapter:
        from suture import registry
        from suture.training import adapters

        model = registry.family("qwen2_5_vl").load(base)
        adapters.attach(model, options)
        for name, parameter in model.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        adapters.save(model.model, folder)
    else:
        tensors = load_file(base / "model.safetensors")
        changed = {name: tensor + 0.01 * torch.randn_like(tensor) for name, tensor in tensors.items()}
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        for name in ("config.json", "generation_config.json"):
            shutil.copy2(base / name, folder)
    for name in ("optimizer.pt", "rng_state.pth", "trainer_state.json"):
        files.write_text(folder / name, "{}")
    files.write_jsonl(folder / "log.jsonl", [{"step": 40, "loss": 0.1}])
    model_folder.write_card(
        folder,
        family="qwen2_5_vl",
        system_prompt="Answer about the eye.",
        step=40,
        stopped=None,
        best_step=None,
        adapter=adapter,
        parameters={"total": 421376, "trainable": 5000 if adapter else 421376},
        shape=[4, 56, 56],
        frames=FRAMES,
        identity={
            **options.model_dump(exclude={"steps_per_job"}),
            "base_weights": model_folder.weights_digest(base),
            "train_samples": "b" * 64,
            "frames": ["c" * 64],
        },
    )
    return folder


@pytest.fixture(scope="module")
def models(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for name, adapter in (("full", None), ("lora", "lora")):
        source = checkpoint(base, root / f"{name}-checkpoint", adapter=adapter)
        run(export_model, "--checkpoint", source, "--base", base, "--output", root / name)
    return {name: root / name for name in ("full", "lora")}


@pytest.fixture
def about(tmp_path: Path) -> list[object]:
    """Metrics, split and ledger of a run; its samples' words and cases are in none of them."""
    estimate = {"value": 0.912345, "low": 0.871, "high": 0.944}
    entry = {
        "split": "test",
        "unit": "case",
        "leaky": False,
        "n_samples": 120,
        "n_cases": 12,
        "metrics": {"acc": {**estimate, "n": 120, "definition": "share of answers | that equal the gold answer"}},
        "baselines": {"majority": {"acc": {"value": 0.4, "low": 0.3, "high": 0.5}}},
        "by": {"phase": {"SecretPhase": {"acc": {**estimate, "n": 3}}}},
        "not_computed": {"bertscore": "no model was given"},
    }
    part = {"cases": 24, "clips": 300, "samples": 300, "phases": {"SecretPhase": 300}}
    split = {
        "unit": "case",
        "leaky": False,
        "counts": {"train": part, "val": {**part, "cases": 2}, "test": {**part, "cases": 12}},
        "warnings": ["case_secret is listed and has no samples"],
    }
    files.write_json(tmp_path / "metrics.json", entry)
    files.write_json(tmp_path / "split.json", split)
    job = Entry(
        experiment="qwen",
        segment=1,
        first_step=0,
        last_step=40,
        until_step=40,
        outcome="done",
        reason="",
        commit="f" * 40,
        changed=False,
        code="c0de",
        config="c0",
        lock="10c" + "0" * 61,
        versions={},
        inputs={},
        seeds={"train": 42},
        host="secret-node",
        device="NVIDIA H100",
        gpus=1,
        threads=1,
        seconds_per_step=1.0,
        samples_per_second=8.0,
        gpu_bytes=3 * 2**30,
        resident_bytes=10**9,
        slurm={},
        started="2026-11-21T00:00:00Z",
        ended="2026-11-21T01:30:00Z",
        wall_seconds=5400.0,
        gpu_hours=1.5,
    )
    ledger.append(tmp_path / "ledger.jsonl", job)
    ledger.append(tmp_path / "ledger.jsonl", Entry(**{**vars(job), "experiment": "other", "gpu_hours": 99.0}))
    inputs = ["--metrics", tmp_path / "metrics.json", "--split-info", tmp_path / "split.json"]
    more = ["--ledger", tmp_path / "ledger.jsonl", "--experiment", "qwen", "--task", "open_vqa"]
    return ["--dataset", "cataract1k", "--repo-id", "our-group/eye", *inputs, *more]


def page_of(tmp_path: Path) -> tuple[dict[str, Any], str]:
    """Reads the page that a command wrote: its head and its text."""
    _, head, text = (tmp_path / "receipt.README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def dry_run(tmp_path: Path, model: Path, about: list[object], *more: object, sharing: str = "open") -> None:
    words = ["--model", model, "--sharing", sharing, "--dry-run", "--output", tmp_path / "receipt.json"]
    run(push_to_hub, *words, *about, *more)


def test_an_exported_model_is_loaded_by_the_library_and_says_how_it_was_made(
    models: dict[str, Path], base: Path
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    for name, model in models.items():
        loaded, report = AutoModelForImageTextToText.from_pretrained(model, output_loading_info=True)
        assert not any(report.values())
        assert type(AutoProcessor.from_pretrained(model)).__name__ == "Qwen2_5_VLProcessor"
        card = model_folder.read_card(model)
        assert card["frames"] == FRAMES
        assert card["shape"] == [4, 56, 56]
        assert card["system_prompt"] == "Answer about the eye."
        assert card["training"]["max_steps"] == 40
        assert card["base"] == {
            "source": "hub",
            "model": "Qwen/Small",
            "revision": REVISION,
            "license": "apache-2.0",
        }
        assert card["base_weights"] == model_folder.weights_digest(base)
        assert card["weights"] == model_folder.weights_digest(model)
        # The base's page and list are of the base.
        assert not (model / "README.md").exists() and not (model / "weights.json").exists()
        assert (model / "adapter").is_dir() == (name == "lora")
        assert sum(p.numel() for p in loaded.parameters()) == model_folder.count_parameters(model)


def test_the_page_tells_what_the_model_is_and_how_good(
    models: dict[str, Path], about: list[object], tmp_path: Path
) -> None:
    dry_run(tmp_path, models["full"], about)
    head, text = page_of(tmp_path)
    assert head["base_model"] == "Qwen/Small" and head["base_model_relation"] == "finetune"
    assert (head["library_name"], head["pipeline_tag"]) == ("transformers", "video-text-to-text")
    assert head["license"] == "apache-2.0"
    assert {"suture", "medical", "qwen2_5_vl"} <= set(head["tags"])
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"] == [
        {"type": "accuracy", "name": "acc", "value": 0.912345, "args": {"low": 0.871, "high": 0.944, "n": 120}}
    ]
    assert result["dataset"] == {"name": "cataract1k", "type": "cataract1k", "split": "test"}
    assert "| acc | 0.912 | 0.871 to 0.944 | 120 | 0.400 |" in text
    assert "- `acc`: share of answers | that equal the gold answer" in text
    assert "`bertscore` was not computed: no model was given" in text
    assert "| cases | 24 | 2 | 12 |" in text
    assert "1 training job on NVIDIA H100: 1.50 h, 1.50 GPU-hours, at most 3.0 GiB on a card" in text
    assert "lora" not in text  # options that did nothing
    assert "| max_steps | 40 |" in text and "40 optimiser steps" in text
    assert "fps 2.0, height 56, width 56" in text
    assert 'AutoModelForImageTextToText.from_pretrained("our-group/eye")' in text
    assert "Answer about the eye." in text
    assert "leaky" not in text and "None" not in text
    assert not (tmp_path / "receipt.json").exists()
    assert not re.search(r"Secret|secret", text), "phases, cases and hosts are not for the page"
    # Markdown needs a table's rows to follow each other.
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = table.splitlines()
        assert len({row.replace("\\|", "").count("|") for row in rows}) == 1 and len(rows) > 2, table


def test_a_leaky_split_is_said_in_bold(models: dict[str, Path], about: list[object], tmp_path: Path) -> None:
    split = files.read_json(tmp_path / "split.json")
    files.write_json(tmp_path / "split.json", split | {"leaky": True, "unit": "clip"})
    dry_run(tmp_path, models["full"], about)
    head, text = page_of(tmp_path)
    assert "**The split is leaky:" in text and "(**leaky**)" in text
    assert "Split by clip, **leaky: the clips of one case are in several parts**" in text
    assert head["model-index"][0]["results"][0]["dataset"]["name"] == "cataract1k (leaky split)"


def test_a_model_that_was_not_measured_says_so(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["full"], tmp_path / "model")
    card = model_folder.read_card(models["full"])
    files.write_json(tmp_path / "model" / "suture.json", card | {"frames": None})  # trained before they were noted
    dry_run(tmp_path, tmp_path / "model", ["--dataset", "x", "--repo-id", "a/b", "--license", "mit"])
    head, text = page_of(tmp_path)
    assert "Not measured." in text and "How it was split is not known." in text and "no ledger" in text
    assert "model-index" not in head and "Frames:" not in text
    assert head["license"] == "mit" and "mit. The base model's: apache-2.0." in text


@pytest.mark.parametrize(
    ("sharing", "more", "said"),
    [
        ("credentialed", [], "the data are credentialed"),
        ("credentialed", ["--allow-internal"], "the data are credentialed"),
        ("internal", [], "allow_internal: true"),
    ],
)
def test_what_must_not_travel_is_refused(
    models: dict[str, Path], about: list[object], tmp_path: Path, sharing: str, more: list[str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        dry_run(tmp_path, models["full"], about, *more, sharing=sharing)
    assert not (tmp_path / "receipt.README.md").exists()


def test_internal_data_with_the_key_are_allowed(models: dict[str, Path], about: list[object], tmp_path: Path) -> None:
    dry_run(tmp_path, models["full"], about, "--allow-internal", sharing="internal")


def test_a_token_on_the_command_line_is_refused_and_not_repeated(
    models: dict[str, Path], about: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="set the environment variable HF_TOKEN") as refused:
        dry_run(tmp_path, models["full"], about, "--hf_token", TOKEN)
    assert TOKEN not in str(refused.value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    words = ["--model", models["full"], "--sharing", "open", "--output", tmp_path / "receipt.json", *about]
    with pytest.raises(InputError, match="HF_TOKEN is not set"):
        run(push_to_hub, *words)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("preprocessor_config.json", '{"name_or_path": "/scratch/me/models/qwen"}', "a path of this machine"),
        ("chat_template.jinja", "{# from /home/me/x #}", "a path of this machine"),
        ("processor_config.json", '{"key": "hf_AbCdEfGhIjKlMnOpQrSt"}', "a secret"),
        ("tokenizer.json", '{"key": "0123456789abcdef0123"}', "a secret"),
    ],
)
def test_secrets_and_paths_stop_the_push(
    models: dict[str, Path],
    about: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    said: str,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123")
    shutil.copytree(models["full"], tmp_path / "model")
    files.write_text(tmp_path / "model" / name, content)
    with pytest.raises(InputError, match=said) as refused:
        dry_run(tmp_path, tmp_path / "model", about)
    assert content not in str(refused.value)


def test_what_is_no_model_is_refused(base: Path, about: list[object], models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an exported model"):
        dry_run(tmp_path, base, about)
    with pytest.raises(InputError, match="the model has no adapters"):
        dry_run(tmp_path, models["full"], about, "--adapter-only")


def push(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: object, code: int = 0) -> str:
    """Pushes in a process of its own: the library reads its settings once."""
    with fake_hub.serve(hub) as url:
        settings = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        return run_script("push_to_hub", "--output", tmp_path / "receipt.json", *words, code=code)


def test_what_the_hub_gets_is_the_model_and_nothing_else(
    models: dict[str, Path], about: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models["full"], tmp_path / "model")
    for name in ("predictions.jsonl", "clips/case_1.mp4", "notes.docx"):
        files.write_text(tmp_path / "model" / name, "What is the phase of case_secret?")
    hub = FakeHub(files={"README.md": b"old", "model-00001-of-00002.safetensors": b"old"})
    said = push(hub, tmp_path, monkeypatch, "--model", tmp_path / "model", "--sharing", "open", *about)
    assert "left here: clips/case_1.mp4, notes.docx, predictions.jsonl" in said
    assert hub.created is not None and hub.created["visibility"] == "private"
    assert (hub.created["organization"], hub.created["name"]) == ("our-group", "eye")
    receipt = files.read_json(tmp_path / "receipt.json")
    assert (receipt["commit"], receipt["private"]) == (NEW_COMMIT, True)
    assert sorted(receipt["files"]) == sorted(hub.pushed)
    model = {p.name: p.read_bytes() for p in models["full"].iterdir()}
    assert hub.pushed == model | {"README.md": (tmp_path / "receipt.README.md").read_bytes()}
    # Shards of an earlier push would be read beside the new weights.
    assert hub.deleted == ["model-00001-of-00002.safetensors"]
    told = b"\n".join(hub.bodies) + b"\n".join(hub.pushed.values())
    for secret in (TOKEN, str(tmp_path), "case_secret", "secret-node", "SecretPhase"):
        assert secret.encode() not in told
    assert TOKEN not in said and TOKEN not in (tmp_path / "receipt.json").read_text()


def test_adapters_are_pushed_alone_and_load_beside_the_base(
    models: dict[str, Path], about: list[object], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub()
    words = ["--model", models["lora"], "--sharing", "open", "--adapter-only", "--no-private", *about]
    push(hub, tmp_path, monkeypatch, *words)
    assert hub.created is not None and hub.created["visibility"] == "public"
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "suture.json"} <= set(hub.pushed)
    assert "config.json" not in hub.pushed and "model.safetensors" not in hub.pushed
    assert json.loads(hub.pushed["adapter_config.json"])["base_model_name_or_path"] == "Qwen/Small"
    head, text = page_of(tmp_path)
    assert (head["library_name"], head["base_model_relation"]) == ("peft", "adapter")
    assert "LoRA adapters for [Qwen/Small]" in text and "| lora_targets | all-linear |" in text
    assert 'PeftModel.from_pretrained(base, "our-group/eye")' in text and REVISION in text
    for name, content in hub.pushed.items():
        (tmp_path / "got" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "got" / name).write_bytes(content)
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    AutoProcessor.from_pretrained(tmp_path / "got")
    adapted = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), str(tmp_path / "got"))
    merged = adapted.merge_and_unload().state_dict()
    whole = AutoModelForImageTextToText.from_pretrained(models["lora"]).state_dict()
    assert all(torch.allclose(merged[name], whole[name], atol=1e-6) for name in whole)


def test_a_private_model_is_not_pushed_into_a_public_repository(
    models: dict[str, Path], about: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub(private=False)
    words = ["--model", models["full"], "--sharing", "open", *about]
    assert "is public already" in push(hub, tmp_path, monkeypatch, *words, code=2)
    assert hub.pushed == {} and not (tmp_path / "receipt.json").exists()
