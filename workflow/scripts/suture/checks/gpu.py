"""Cards: does training get one. On a CPU a model of billions of parameters trains for months, without an error."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from suture import profiles
from suture.checks.base import Finding, Setting, fail, ok, warn
from suture.checks.profile import own_resources
from suture.config.model import Config
from suture.config.share import share
from suture.errors import InputError

RULE = "train_segment"
_QUERY = "name,memory.total,compute_cap"


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card, as nvidia-smi names it; ``capability`` is CUDA's, as 8.0."""

    name: str
    memory_mib: float
    capability: float


def cards() -> list[Card]:
    """Asks nvidia-smi for the cards of this machine; none where it is not there."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        done = subprocess.run(
            [command, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in done.stdout.splitlines() if done.returncode == 0 else []:
        name, memory, capability = (part.strip() for part in line.rsplit(",", 2))
        found.append(Card(name=name, memory_mib=float(memory), capability=float(capability)))
    return found


def check(setting: Setting) -> Iterator[Finding]:
    """Tells whether training jobs get a card, and whether torch here could use one."""
    if setting.config is None or not setting.config.experiments:
        return
    if setting.on_cluster and setting.profile is not None:
        own = own_resources(setting.root).get(RULE, {})
        wanted = profiles.gpus(setting.profile.resources(RULE, own))
        if wanted == 0:
            yield _by_mistake(setting.config, f"the profile gives {RULE} no GPU", f"set  set-resources: {RULE}: gpu: 1")
        else:
            yield ok(f"training jobs ask for {wanted or 'a computed number of'} GPU")
        yield from _several(setting.config, setting.profile.resources(RULE, own), wanted or 1)
        return
    here = cards()
    if not here:
        yield _by_mistake(
            setting.config, "this machine has no GPU", "run where there is one:  snakemake --profile slurm"
        )
        return
    yield ok(", ".join(f"{card.name}, {card.memory_mib / 1024:.0f} GiB" for card in here))
    try:
        build = version("torch")
    except PackageNotFoundError:
        build = ""
    if "+cpu" in build:
        yield fail(f"torch {build} cannot use the GPU that is here", "make setup (its torch has CUDA)")
    old = [card.name for card in here if card.capability < 8]
    bf16 = [name for name, one in setting.config.experiments.items() if one.train.precision == "bf16"]
    if old and bf16:
        yield warn(
            f"{old[0]} computes bf16 by detours, and {', '.join(bf16)} trains in it: slow", "set train.precision: fp16"
        )


def _several(config: Config, given: dict[str, Any], cards: int) -> Iterator[Finding]:
    """Looks whether a step can be dealt to all cards, and whether several nodes will be joined."""
    for name, one in config.experiments.items():
        try:
            share(one.train, cards)
        except InputError as error:
            yield fail(f"{name}: {error.problem}", str(error.fix))
    if str(given.get("nodes", 1)) != "1" and given.get("mpi") != "srun":
        yield fail(
            f"{RULE} asks for {given['nodes']} nodes and has one task: training would end at its start",
            "add  mpi: srun  and  tasks_per_node  (docs/slurm.md)",
        )


def _by_mistake(config: Config, says: str, cure: str) -> Finding:
    large = [name for name, one in config.experiments.items() if one.model != "small"]
    if not large:
        return ok(f"{says}; the small models of this run train on a CPU")
    return fail(f"{says}: {', '.join(large)} would train on a CPU, for months, without an error", cure)
