"""Writes envs/<rule>.yaml: one conda environment a rule, with only what its command imports, pinned by the one lock."""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

from suture import digest, files, registry
from suture.cli import Parser, run
from suture.errors import SutureError

ROOT = Path(__file__).parents[2]
PYTHON = "3.11"

# Needed at run time though nobody imports them by name: the libraries look for these themselves.
COMPANIONS = {"transformers": ["accelerate", "torchvision", "safetensors"]}
OF_MODULES = {"torch.utils.tensorboard": "tensorboard"}

# Taken from conda-forge instead of a wheel: there the programs belong to the environment.
FROM_CONDA = {"imageio-ffmpeg": "ffmpeg=7.1"}

# Modules found by name at run time; whoever reaches such a call needs what any of them imports.
BY_NAME = {
    "registry.dataset(": "dataset adapter",
    "registry.family(": "model family",
    "registry.task(": "task",
}

# A command that starts a second Snakemake needs it, and what the Snakefile imports.
SNAKEMAKE = '"-m", "snakemake"'


def parser() -> Parser:
    flags = Parser(__doc__)
    flags.add_argument("--check", action="store_true", help="write nothing; exit 2 where a file is not as it should be")
    return flags


def commands() -> dict[str, str]:
    """Returns the command of each rule, read from rules/*.smk."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.split(r"(?m)^\s*rule ", path.read_text())[1:]:
            command = re.search(r"workflow/scripts/(\w+)\.py", block)
            if command:
                found[block.split(":", 1)[0].strip()] = command[1]
    return found


def pins() -> dict[str, str]:
    """Returns the version of each distribution in the lock."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def distributions(command: str) -> list[str]:
    """Returns the third-party distributions that a command reaches by its imports, sorted."""
    waiting = [f"{command}"]
    seen: set[str] = set()
    third_party: set[str] = set()
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = digest.file_of(module)
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        source = path.read_text()
        if SNAKEMAKE in source:
            third_party.add("snakemake")
            waiting += imports_of_snakefile()
        waiting += found_by_name(source)
        for name in digest.imports(path):
            top = name.split(".")[0]
            if top == "suture":
                waiting.append(name)
            elif top not in sys.stdlib_module_names:
                third_party.add(top)
                found.update({OF_MODULES[name]} if name in OF_MODULES else ())
    known = packages_distributions()
    for module in third_party:
        if module not in known:
            raise SutureError(
                f"{command} imports {module}, which is not installed", fix="add it to pyproject.toml, make lock"
            )
        found.add(known[module][0].lower().replace("_", "-"))
    for one in sorted(found):
        found.update(COMPANIONS.get(one, []))
    return sorted(found)


def found_by_name(source: str) -> list[str]:
    """Returns the modules that a source reaches through the registry: any of a kind whose loader it calls."""
    kinds = [kind for call, kind in BY_NAME.items() if call in source]
    return [f"suture.{registry.FOLDERS[kind]}.{name}" for kind in kinds for name in registry.names(kind)]


def imports_of_snakefile() -> list[str]:
    """Returns the modules of ours that the Snakefile and the rules reach; some of the names are not modules."""
    found = []
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        source = path.read_text()
        found += found_by_name(source)
        for module, names in re.findall(r"(?m)^from (suture[\w.]*) import ([\w, ]+)", source):
            found += [module, *(f"{module}.{name.split()[0]}" for name in names.split(","))]
    return sorted(found)


def environment(command: str, versions: dict[str, str]) -> str:
    """Returns the text of one environment file."""
    wanted = distributions(command)
    unpinned = [name for name in wanted if name not in versions and name not in FROM_CONDA]
    if unpinned:
        raise SutureError(f"not in requirements.lock: {', '.join(unpinned)}", fix="make lock")
    conda = [f"python={PYTHON}", *(FROM_CONDA[name] for name in wanted if name in FROM_CONDA)]
    wheels = [f"{name}=={versions[name]}" for name in wanted if name not in FROM_CONDA]
    dependencies: list[object] = [*conda]
    if wheels:
        dependencies += ["pip", {"pip": wheels}]
    text = yaml.safe_dump({"channels": ["conda-forge", "nodefaults"], "dependencies": dependencies}, sort_keys=False)
    return f"# Made by `make envs` from what workflow/scripts/{command}.py imports and requirements.lock.\n{text}"


def main(args: argparse.Namespace) -> None:
    versions = {name.lower().replace("_", "-"): version for name, version in pins().items()}
    wanted = {ROOT / "envs" / f"{rule}.yaml": environment(command, versions) for rule, command in commands().items()}
    stale = [path.name for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    extra = [path for path in (ROOT / "envs").glob("*.yaml") if path not in wanted]
    if args.check:
        if stale or extra:
            names = ", ".join([*stale, *(path.name for path in extra)])
            raise SutureError(f"not up to date: {names}", where="envs/", fix="make envs")
        return
    for path, text in wanted.items():
        files.write_text(path, text)
    for path in extra:
        path.unlink()
    print(f"{len(wanted)} environments in envs/, {len(stale)} changed, {len(extra)} removed")


if __name__ == "__main__":
    run(main, parser())
