"""doctor: on a machine that is in order nothing is said; each fault planted in it is found, named and given a cure.

The machine is made of stand-ins for sinfo, scontrol, conda, nvidia-smi and quota on a PATH of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import doctor
from support import ROOT, run_script
from suture import checks, limits
from suture.checks import profile
from suture.checks.base import Finding

SINFO = "cpu|up|2-00:00:00|(null)|192000|64\ngpu|up|12:00:00|gpu:a100:4(S:0-1)|512000|64"
COMMANDS = {
    "sinfo": SINFO,
    "scontrol": "MinJobAge               = 300 sec",
    "conda": "conda 24.9.2",
    "nvidia-smi": "NVIDIA A100-SXM4-80GB, 81920, 8.0",
    "quota": "Disk quotas for user x (uid 1):\n  Filesystem blocks quota limit grace files quota limit grace\n"
    "  /home 1000 900000 1000000 0 10 90000 100000 0",
}
PROFILE: dict[str, Any] = {
    "executor": "slurm",
    "jobs": 64,
    "software-deployment-method": ["conda"],
    "slurm-status-command": "squeue",
    "default-resources": {"slurm_partition": "cpu", "mem_mb": 4000, "runtime": 60},
    "set-resources": {
        "train_segment": {"slurm_partition": "gpu", "gpu": 1, "mem_mb": 64000, "runtime": 600},
        "predict": {"slurm_partition": "gpu", "gpu": 1},
    },
}
CONFIG: dict[str, Any] = {
    "run": "clinic",
    "dataset": "table",
    "annotations": "data/list.csv",
    "videos": "data/videos",
    "experiments": {
        "large": {
            "family": "qwen2_5_vl",
            "model": "weights",
            "frames": {"count": 8, "height": 56, "width": 56},
            "train": {"max_steps": 100, "steps_per_job": 100},
        }
    },
}


class Machine:
    """A folder with data, configuration, profile and commands, all in order until a test changes something."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.config = json.loads(json.dumps(CONFIG))
        self.profile = json.loads(json.dumps(PROFILE))
        self.commands = dict(COMMANDS)
        (root / "data" / "videos").mkdir(parents=True)
        (root / "weights").mkdir()
        (root / "weights" / "model.safetensors").write_bytes(b"weights")
        rows = ["case,media,start,end,label"]
        for number in range(4):
            (root / "data" / "videos" / f"{number}.mp4").write_bytes(b"video")
            rows.append(f"case_{number},{number}.mp4,0,5,Incision")
        (root / "data" / "list.csv").write_text("\n".join(rows) + "\n")
        monkeypatch.chdir(root)
        monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "WANDB_MODE"):
            monkeypatch.delenv(name, raising=False)

    def write(self) -> None:
        """Puts down what the test has changed."""
        tools = self.root / "bin"
        tools.mkdir(exist_ok=True)
        for name, says in self.commands.items():
            (tools / name).write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\n")
            (tools / name).chmod(0o755)
        (self.root / "config.yaml").write_text(yaml.safe_dump(self.config))
        (self.root / "queue").mkdir(exist_ok=True)
        (self.root / "queue" / "config.yaml").write_text(yaml.safe_dump(self.profile))

    def findings(self, *words: str) -> list[tuple[str, Finding]]:
        """Runs all checks, or as the command is told."""
        self.write()
        args = doctor.parser().parse_args(words or ["--profile", "queue"])
        return list(checks.findings(doctor.setting(args)))

    def process(self, *words: str, code: int) -> str:
        """Runs the command as a user does."""
        self.write()
        return run_script("doctor", "--profile", "queue", *words, code=code, cwd=self.root)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_machine_in_order_gets_no_fail(machine: Machine) -> None:
    printed = machine.process(code=0)
    assert "FAIL" not in printed and "0 would fail" in printed
    assert max(map(len, printed.splitlines())) <= 100
    passed = {line.split()[1] for line in printed.splitlines() if line.startswith("PASS")}
    # Nothing was measured yet, so only the plan is left to look at; nothing is asked of a closed set or of a
    # publisher's split, and no step is tried.
    assert passed == set(checks.GROUPS) - checks.HEAVY - {"plan", "split", "labels"}


def _six(machine: Machine) -> dict[str, tuple[str, str]]:
    """Plants six faults; returns what each must be called and what its cure must name."""
    machine.profile["set-resource"] = {"predict": {"gpu": 1}}  # one letter short: dropped in silence
    machine.profile["set-resources"]["train_segment"] = {"slurm_partition": "gpu", "runtime": 1440}
    machine.config["experiments"]["large"]["push_to_hub"] = {"repo_id": "us/model", "allow_internal": True}
    (machine.root / "data" / "videos" / "2.mp4").unlink()
    machine.commands["conda"] = "conda 23.1.0"
    return {
        "a mistyped key of the profile": ("`set-resource:` is no key", "set-resources"),
        "training on a CPU": ("would train on a CPU", "gpu: 1"),
        "a job longer than its partition allows": ("runtime 24.0 h is more than partition gpu allows, 12.0 h", "720"),
        "no token": ("HF_TOKEN is not set", "export HF_TOKEN"),
        "a case without its video": ("1 of 4 cases have no media", "cases"),
        "an old conda": ("conda 23.1.0 is older", "24.7.1"),
    }


def test_six_planted_faults_are_all_found_each_with_its_cure(machine: Machine) -> None:
    planted = _six(machine)
    found = json.loads(machine.process("--json", code=2))
    failed = [one for one in found if one["status"] == "FAIL"]
    for name, (says, cure) in planted.items():
        match = [one for one in failed if says in one["says"]]
        assert len(match) == 1, f"{name}: {failed}"
        assert cure in match[0]["cure"], name
    assert len(failed) == len(planted), "and nothing that was not planted"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.profile["set-resources"].update(train_segmnt={"gpu": 1}), "no rule `train_segmnt`"),
        (lambda m: m.profile["set-resources"]["predict"].update(gpus=1), "nobody reads a resource `gpus`"),
        (lambda m: m.profile["default-resources"].update(slurm_partition="gone"), "no partition `gone`"),
        (lambda m: m.profile["set-resources"]["predict"].update(gpu_model="h100"), "no GPU called `h100`"),
        (lambda m: m.profile["set-resources"]["train_segment"].update(gpu=3), "cannot be dealt evenly to 3 processes"),
        (lambda m: m.profile["set-resources"]["train_segment"].update(nodes=2, gpu=2), "asks for 2 nodes and has one"),
        (lambda m: m.profile["set-resources"]["predict"].update(gpu=8), "asks for 8 GPU, and partition gpu has 4"),
        (lambda m: m.profile["set-resources"]["predict"].update(mem_mb=900_000), "mem_mb 900000 is more than a node"),
        (lambda m: m.profile.update({"slurm-status-command": "sacct"}), "a cancelled job is waited for without end"),
        (lambda m: m.commands.update(scontrol="MinJobAge = 30 sec"), "squeue forgets ended jobs after 30 s"),
        (lambda m: m.commands.pop("conda"), "there is none on PATH"),
        (lambda m: m.commands.update(quota="/home 999000* 900000 1000000 0 10 90000 100000 0"), "your quota on /home"),
        (lambda m: m.config["experiments"]["large"].update(model="us/base", revision="main"), "is no commit"),
        (lambda m: m.config.update(shard=3), "did you mean  shards"),
        (lambda m: m.config.update(annotations="elsewhere.csv"), "annotations: there is no elsewhere.csv"),
        (lambda m: (m.root / "data" / "videos" / "1.mp4").write_bytes(b""), "media files of no bytes"),
        (lambda m: (m.root / "weights" / "model.safetensors").unlink(), "weights holds no weights"),
    ],
)
def test_each_fault_is_named(machine: Machine, change: Any, says: str) -> None:
    change(machine)
    match = [one for _, one in machine.findings() if says in one.says]
    assert match and match[0].status in ("WARN", "FAIL") and match[0].cure


def test_a_large_model_on_a_machine_without_a_gpu_is_a_fault_and_a_small_one_is_not(machine: Machine) -> None:
    machine.commands.pop("nvidia-smi")
    here = ["--configfile", "config.yaml"]
    assert any("would train on a CPU" in one.says for _, one in machine.findings(*here))
    machine.config["experiments"]["large"]["model"] = "small"
    assert [one.status for group, one in machine.findings(*here) if group == "gpu"] == ["PASS"]


def test_a_token_in_the_config_is_found_and_no_token_is_ever_shown(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hf_" + "x" * 34
    monkeypatch.setenv("HF_TOKEN", secret)
    machine.config["run"] = secret
    found = machine.findings()
    assert any("a token or key is written in the configuration" in one.says for _, one in found)
    assert not any(secret in one.says + one.cure for _, one in found)


def test_the_profile_of_the_repository_is_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    setting = doctor.setting(doctor.parser().parse_args(["--profile", "slurm"]))
    assert [one.status for one in profile.check(setting)] == ["PASS"]


def test_jobs_that_run_where_snakemake_does_are_not_compared_with_the_queue() -> None:
    asked = profile.own_resources(ROOT)
    assert asked["train_segment"]["runtime"] == limits.RUNTIME, "what plan.py takes where no profile says otherwise"
    assert "cut_videos" in asked and not {"fetch_weights", "merge_metrics", "plan"} & set(asked)
