"""Each rule has a conda environment of its own, in conda's grammar, pinned by the one lock.

No channel is reached: that these environments solve on conda-forge is not shown here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

from support import ROOT

ENVS = sorted((ROOT / "envs").glob("*.yaml"))
PINS = [line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
PRINTING = {"plan"}
LOCK = {canonicalize_name(name): version for name, version in PINS}


def rules() -> dict[str, str]:
    """The text of each rule that runs a command."""
    blocks = [
        block for path in (ROOT / "rules").glob("*.smk") for block in re.split(r"(?m)^\s*rule ", path.read_text())
    ]
    return {block.split(":")[0].strip(): block for block in blocks if "shell:" in block}


def test_each_rule_names_its_own_environment_and_has_all_directives() -> None:
    assert {path.stem for path in ENVS} == set(rules())
    for name, text in rules().items():
        assert f'"../envs/{name}.yaml"' in text
        # A target that prints makes no file: with a benchmark it would be done after the first time.
        made = ("output", "benchmark") if name not in PRINTING else ()
        for directive in (*made, "log", "conda", "resources", "message", "params"):
            assert f"{directive}:\n" in text, f"rule {name} has no {directive}"
        assert "code=" in text, f"rule {name} does not rerun when its code is edited"
        assert text.count("exec python workflow/scripts/") == 1


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_an_environment_is_in_conda_s_grammar_and_pinned_by_the_lock(path: Path) -> None:
    env = yaml.safe_load(path.read_text())
    assert env["channels"] == ["conda-forge", "nodefaults"]
    for entry in env["dependencies"]:
        if isinstance(entry, str):
            MatchSpec(entry, strict=True)
            continue
        for line in entry["pip"]:
            requirement = Requirement(line)
            pinned = LOCK[canonicalize_name(requirement.name)]
            assert str(requirement.specifier) == f"=={pinned}"


def test_light_stages_need_no_heavy_packages() -> None:
    for rule in ("cut_videos", "describe_objects", "split_dataset", "score", "report"):
        assert "torch" not in (ROOT / "envs" / f"{rule}.yaml").read_text()
    assert "torch==" in (ROOT / "envs" / "train_segment.yaml").read_text()


def test_what_an_adapter_reads_with_is_where_adapters_are_loaded() -> None:
    """Adapters are found by name: no import leads a command to the reader of spreadsheets."""
    for rule in ("copy_stills", "ingest", "split_dataset", "score"):
        assert "python-calamine==" in (ROOT / "envs" / f"{rule}.yaml").read_text()
    assert "python-calamine==" not in (ROOT / "envs" / "cache_frames.yaml").read_text()
