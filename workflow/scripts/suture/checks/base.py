"""What checks are told, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from suture import machine
from suture.config.model import Config
from suture.profiles import Profile

Status = Literal["PASS", "WARN", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        status: WARN is what may be meant; FAIL would stop a run, or spoil its result.
        says: what was found, in a line.
        cure: what to do about it; empty with PASS.
    """

    status: Status
    says: str
    cure: str = ""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A run, as a user would start it here.

    Attributes:
        raw: the configuration as written.
        config: the configuration; None where it cannot be used.
        config_problem: why not.
        config_text: the file itself, to look for what should not be in it.
        profile: of `--profile`; None: jobs run here.
        profile_problem: why it cannot be read, if it cannot.
        root: the folder with the Snakefile.
        results: the folder of runs.
    """

    raw: dict[str, Any]
    config: Config | None
    config_problem: str = ""
    config_text: str = ""
    profile: Profile | None = None
    profile_problem: str = ""
    root: Path = field(default_factory=lambda: machine.ROOT)
    results: Path = Path("results")

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.results / str(self.raw.get("run") or "demo")

    @property
    def on_cluster(self) -> bool:
        """Whether jobs go to a queue."""
        return self.profile is not None and self.profile.keys.get("executor") == "slurm"


def ok(says: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding(status="PASS", says=says)


def warn(says: str, cure: str) -> Finding:
    """Returns a finding that may be meant so."""
    return Finding(status="WARN", says=says, cure=cure)


def fail(says: str, cure: str) -> Finding:
    """Returns a finding that would stop a run later."""
    return Finding(status="FAIL", says=says, cure=cure)
