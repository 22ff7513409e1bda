"""The profile: does Snakemake read what is written in it. Much of what is mistyped there is dropped without a word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from suture.checks.base import Finding, Setting, fail, ok
from suture.profiles import MAPPINGS

RESOURCES = frozenset(
    {"slurm_account", "slurm_partition", "cluster", "clusters", "slurm_cluster", "runtime", "constraint", "qos"}
    | {"slurm_extra", "mem", "mem_mb", "mem_mib"}
    | {"mem_mb_per_cpu", "disk", "disk_mb", "disk_mib", "tmpdir", "nodes", "gpu", "gpu_model", "gres", "tasks"}
    | {"tasks_per_node", "tasks_per_gpu", "mpi", "cpus_per_task", "cpus_per_gpu"}
)
"""What the SLURM plugin and Snakemake read of a job's resources."""

OWN_OPTIONS = re.compile(
    r"--(job-name|output|error|account|partition|mem|mem-per-cpu|ntasks|ntasks-per-gpu|cpus-per-task|cpus-per-gpu|time"
    r"|constraint|qos|nodes|clusters|gres|gpus|comment|parsable|export)\b"
)
"""Options that the plugin gives to sbatch itself: in `slurm_extra` they fail each job at submission."""


def check(setting: Setting) -> Iterator[Finding]:
    """Compares each key with what is read."""
    if setting.profile_problem:
        yield fail(setting.profile_problem, "give a folder with profile.v9+.yaml, or mend it")
        return
    if setting.profile is None:
        yield ok("no profile: jobs run on this machine, one after another or as `--cores` allows")
        return
    keys, path = setting.profile.keys, setting.profile.path
    problems = list(_problems(keys, rules(setting.root)))
    yield from problems
    if not problems:
        yield ok(f"{path}: every key is one that is read")
    executor = str(keys.get("executor", "local"))
    if executor != "local" and find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}") is None:
        yield fail(
            f"executor {executor}: its plugin is not installed",
            f"make setup, or pip install snakemake-executor-plugin-{executor}",
        )


def _problems(keys: dict[str, object], known: Iterable[str]) -> Iterator[Finding]:
    options = _options()
    for key, value in keys.items():
        if key.startswith("__"):
            continue
        if isinstance(value, dict) and key not in MAPPINGS:
            yield fail(f"`{key}:` is no key that may hold others; all below it is dropped", _near(key, MAPPINGS))
        elif options and key not in options:
            yield fail(f"`{key}:` is no option of snakemake", _near(key, options))
    set_resources = keys.get("set-resources")
    over = set_resources if isinstance(set_resources, dict) else {}
    for rule, given in over.items():
        if rule not in set(known):
            yield fail(f"set-resources: there is no rule `{rule}`; what it sets is dropped", _near(rule, known))
        yield from _resources(f"set-resources, {rule}", given)
    yield from _resources("default-resources", keys.get("default-resources"))


def _resources(where: str, given: object) -> Iterator[Finding]:
    if not isinstance(given, dict):
        return
    for name in given:
        if name not in RESOURCES:
            yield fail(f"{where}: nobody reads a resource `{name}`", _near(name, RESOURCES))
    if "gres" in given and "gpu" in given:
        yield fail(f"{where}: `gres` and `gpu` both ask for cards", "leave one of them out")
    if match := OWN_OPTIONS.search(str(given.get("slurm_extra", ""))):
        yield fail(
            f"{where}: slurm_extra may not hold {match[0]}: each job would fail at submission",
            "use the resource of that name",
        )


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"write `{near[0]}`" if near else "take it out"


def _options() -> set[str]:
    """Returns the names of snakemake's own options; empty where it is not installed."""
    if find_spec("snakemake") is None:
        return set()
    from snakemake.cli import get_argument_parser

    actions = get_argument_parser(profiles=[])._actions
    return {word.removeprefix("--") for action in actions for word in action.option_strings}


def rules(root: Path) -> set[str]:
    """Names the rules."""
    texts = [path.read_text(encoding="utf-8") for path in [root / "Snakefile", *(root / "rules").glob("*.smk")]]
    return {name for text in texts for name in re.findall(r"(?m)^\s*rule (\w+):", text)}


def own_resources(root: Path) -> dict[str, dict[str, int]]:
    """Returns `mem_mb` and `runtime` that each rule asks for by itself, where they are plain numbers.

    Rules that always run where snakemake does (`localrules`) are left out.
    """
    listed = re.search(r"(?m)^localrules:\n((?:    \w+,\n)+)", (root / "Snakefile").read_text(encoding="utf-8"))
    local = set(re.findall(r"\w+", listed[1])) if listed else set()
    found = {}
    for path in sorted((root / "rules").glob("*.smk")):
        for block in re.split(r"(?m)^\s*rule ", path.read_text(encoding="utf-8"))[1:]:
            name = block.split(":", 1)[0].strip()
            numbers = re.findall(r"(?m)^\s+(mem_mb|runtime)=(\d+),", block)
            if name not in local:
                found[name] = {key: int(value) for key, value in numbers}
    return found
