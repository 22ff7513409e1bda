"""The keys of our profiles: Snakemake drops a mistyped mapping in silence, the plugin a mistyped resource."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import snakemake_executor_plugin_slurm
import yte
from snakemake.cli import get_argument_parser

from support import ROOT

PROFILES = sorted((ROOT / "profiles").glob("*/*.yaml"))
# The mappings that Snakemake takes from a profile; it drops every other one (snakemake/profiles.py).
MAPPINGS = {"default-resources", "set-resources", "set-threads", "set-scatter", "set-resource-scopes", "resources"}
MAPPINGS |= {"batch", "config", "groups", "group-components", "consider-ancient"}
# What the plugin's code asks a job for; the rest is Snakemake's own.
PLUGIN = [path.read_text() for path in Path(snakemake_executor_plugin_slurm.__file__).parent.glob("*.py")]
RESOURCES = {name for text in PLUGIN for name in re.findall(r'resources\.(?:get\(")?(\w+)', text)} | {
    "disk_mb",
    "tmpdir",
}
# Refused by the plugin inside slurm_extra, when the job is submitted and not before.
OWN_OPTIONS = r"--(job-name|output|error|account|partition|mem|ntasks|cpus-per|time|constraint|qos|nodes|gres|gpus)\b"


def load(path: Path, monkeypatch: pytest.MonkeyPatch, *, conda: bool = False) -> dict[str, Any]:
    """Reads a profile as Snakemake does, on a machine with or without conda."""
    monkeypatch.setattr(shutil, "which", lambda name: "/opt/conda/bin/conda" if conda else None)
    return dict(yte.process_yaml(io.StringIO(path.read_text()), require_use_yte=True))


def problems(profile: dict[str, Any], rules: set[str], options: set[str]) -> list[str]:
    """Names what Snakemake or the plugin would not read."""
    found = [f"no such option: {key}" for key in profile if key not in options]
    found += [f"dropped: {key}" for key, value in profile.items() if isinstance(value, dict) and key not in MAPPINGS]
    of_rules = profile.get("set-resources", {})
    found += [f"no such rule: {name}" for name in of_rules if name not in rules]
    for given in [profile.get("default-resources", {}), *of_rules.values()]:
        found += [f"no such resource: {name}" for name in given if name not in RESOURCES]
        found += [f"slurm_extra: {one}" for one in re.findall(OWN_OPTIONS, str(given.get("slurm_extra", "")))]
        if "gres" in given and ("gpu" in given or "gpu_model" in given):
            found.append("gres and gpu ask twice")
        if "gpu_model" in given and "gpu" not in given:
            found.append("gpu_model without gpu")
    return found


@pytest.fixture(scope="module")
def options() -> set[str]:
    parser = get_argument_parser(profiles=[])
    return {name.removeprefix("--") for action in parser._actions for name in action.option_strings}


@pytest.fixture(scope="module")
def rules() -> set[str]:
    texts = [path.read_text() for path in (ROOT / "rules").glob("*.smk")]
    return {name for text in texts for name in re.findall(r"(?m)^\s*rule (\w+):", text)}


@pytest.mark.parametrize("conda", [False, True])
@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_every_key_of_a_profile_is_read(
    path: Path, conda: bool, rules: set[str], options: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = load(path, monkeypatch, conda=conda)
    assert problems(profile, rules, options) == []
    if path.parent.name == "slurm":
        assert profile.get("software-deployment-method") == (["conda"] if conda else None)


@pytest.mark.parametrize(
    ("mistyped", "seen"),
    [
        ({"set-resource": {"predict": {"gpu": 1}}}, "no such option: set-resource"),
        ({"set-resources": {"predikt": {"gpu": 1}}}, "no such rule: predikt"),
        ({"set-resources": {"predict": {"gpus_per_node": 1}}}, "no such resource: gpus_per_node"),
        ({"set-resources": {"predict": {"gres": "gpu:1", "gpu": 1}}}, "gres and gpu ask twice"),
        ({"set-resources": {"predict": {"slurm_extra": "--time=5"}}}, "slurm_extra: time"),
        ({"software-deployment-method": {"conda": True}}, "dropped: software-deployment-method"),
    ],
)
def test_a_mistyped_key_is_found(mistyped: dict[str, Any], seen: str, rules: set[str], options: set[str]) -> None:
    assert seen in problems(mistyped, rules, options)


def test_the_slurm_profile_is_what_the_measurements_say(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load(ROOT / "profiles/slurm/profile.v9+.yaml", monkeypatch)
    # A cancelled job is seen by squeue; under sacct Snakemake waits for it for ever.
    assert profile["slurm-status-command"] == "squeue"
    # Retries of the profile would be those of every rule; training's are in its rule.
    assert "retries" not in profile
    train = profile["set-resources"]["train_segment"]
    # SIGUSR1 kills the Snakemake around the training, and "B:" reaches neither: docs/slurm.md has the table.
    found = re.search(r"--signal=TERM@(\d+)", train["slurm_extra"])
    assert found, train["slurm_extra"]
    # It may come a minute earlier still, and must not before the job's last quarter.
    assert train["runtime"] * 60 / 4 >= int(found[1]) + 60


def test_the_literal_profile_name_resolves_in_the_project_s_root() -> None:
    link = ROOT / "slurm"
    assert link.is_symlink() and link.readlink() == Path("profiles/slurm")


def test_every_entry_of_the_slurm_profile_has_its_comment() -> None:
    lines = (ROOT / "profiles/slurm/profile.v9+.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z-]+:", line) and not line.startswith("executor:"):
            assert lines[number - 1].startswith("#"), f"{line} is not explained"
