"""Base models: there, or to be had."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from suture import hub
from suture.checks.base import Finding, Setting, fail, ok, warn


def check(setting: Setting) -> Iterator[Finding]:
    """Looks where each experiment's base model is to come from."""
    if setting.config is None:
        return
    seen = set()
    for name, one in setting.config.experiments.items():
        if one.base_key in seen:
            continue
        seen.add(one.base_key)
        made = setting.run / "models" / "base" / one.base_key
        if any(made.glob("*.safetensors")):
            yield ok(f"{one.model}: its weights are in {made}")
        elif one.model == "small":
            yield ok(f"{name}: a small {one.family}, built here with random weights")
        elif Path(one.model).is_dir():
            yield from _folder(name, Path(one.model))
        else:
            yield from _from_hub(name, one.model, one.revision or "")


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    if any(path.stat().st_size for pattern in ("*.safetensors", "*.bin", "*.pth") for path in folder.glob(pattern)):
        yield ok(f"{name}: weights in {folder}")
    else:
        yield fail(f"{name}: {folder} holds no weights", "give the folder with model*.safetensors in it")


def _from_hub(name: str, model: str, revision: str) -> Iterator[Finding]:
    if not hub.COMMIT.fullmatch(revision):
        yield fail(
            f"{name}: revision {revision!r} of {model} is no commit, and a branch may be another model tomorrow",
            hub.pinned_by(model, revision, "revision:"),
        )
        return
    home = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface", "hub"))
    cached = home.expanduser() / f"models--{model.replace('/', '--')}" / "snapshots" / revision
    if any(cached.glob("*.safetensors")) or any(cached.glob("*.bin")):
        yield ok(f"{name}: {model} is in the hub's cache")
    elif re.fullmatch("1|true|yes|on", os.environ.get("HF_HUB_OFFLINE", ""), re.IGNORECASE):
        yield fail(
            f"{name}: {model} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it",
            "unset HF_HUB_OFFLINE for the first run, or copy the model here and name its folder",
        )
    else:
        yield warn(
            f"{name}: {model} will be fetched by the first run, from where snakemake runs",
            "see that this machine reaches huggingface.co and has room in HF_HOME; then jobs need no network",
        )
