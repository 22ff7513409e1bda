"""What the jobs of a run used of what they asked for, by rule, and what to ask for instead.

From the last lines of their logs (suture.usage) and from Snakemake's benchmark files: no hosts, no paths.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import benchmarks, usage
from suture.benchmarks import Benchmark
from suture.gpu_watch import Card
from suture.reporting.jobs import duration
from suture.usage import Usage

LONG = 60.0
"""Seconds from which on a job says something: a shorter one is imports, and the start of a model."""

NEAR = 0.9
"""Share of the memory asked for from which on the next job may be killed."""

IDLE = 0.6
"""A GPU that works for less of the time waits for something."""

ROOMY = 0.5
"""Share of a GPU's memory below which a batch twice as large may fit."""

BATCH = {
    "train_segment": "train.batch_size (a step stays as it is with as many fewer gradient_accumulation_steps)",
    "predict": "predict.batch_size",
    "generate_qa": "qa.llm.batch_size",
}
"""Keys of the configuration that make the batches of a rule larger."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The jobs of one rule, in words; ``advice`` is empty where nothing is clear, ``keys`` are those of a profile."""

    rule: str
    jobs: int
    time: str
    cores: str
    memory: str
    disk: str
    gpu: str
    gpu_memory: str
    advice: str
    keys: str


@dataclass(frozen=True, kw_only=True)
class RuleUse:
    """The jobs of one rule in numbers.

    Attributes:
        usages: of each job whose log says what it used.
        cores: asked for by a job; None where nobody wrote it down. As ``memory_bytes``.
        peak_bytes: most memory of one job.
        cards: each card of each job.
        workers: processes that prepare batches, where the rule has such.
    """

    rule: str
    usages: Sequence[Usage]
    cores: int | None
    memory_bytes: int | None
    peak_bytes: int
    gpus: int
    workers: int | None

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.usages)

    @property
    def cards(self) -> list[Card]:
        return [card for one in self.usages for card in one.cards]

    @property
    def cores_used(self) -> float:
        """Cores that were busy, as a mean over all the time of all jobs."""
        return sum(one.cpu_seconds for one in self.usages) / max(self.seconds, 1e-9)

    @property
    def busy(self) -> float | None:
        """Share of the time that the cards worked, over all looks; None where no driver said."""
        told = [(card.busy, card.looks) for card in self.cards if card.busy is not None]
        looks = sum(number for _, number in told)
        return sum(busy * number for busy, number in told) / looks if looks else None


def read(logs: Path, benchmark_folder: Path) -> list[Row]:
    """Reads what the jobs used, that of most time first; empty where no log says it.

    Args:
        logs: folder with ``<rule>.log`` or ``<rule>/**/*.log``.
        benchmark_folder: the same of benchmarks, ``.tsv``.
    """
    used: dict[str, list[Usage]] = {}
    for rule, path in _by_rule(logs, ".log"):
        if one := usage.read(path):
            used.setdefault(rule, []).append(one)
    asked: dict[str, list[Benchmark]] = {}
    for rule, path in _by_rule(benchmark_folder, ".tsv"):
        if rule in used and (done := benchmarks.read(path)):
            asked.setdefault(rule, []).append(done)
    found = [of_rule(rule, usages, asked.get(rule, [])) for rule, usages in used.items()]
    return [in_words(one) for one in sorted(found, key=lambda one: (-one.seconds, one.rule))]


def _by_rule(folder: Path, suffix: str) -> Iterable[tuple[str, Path]]:
    for path in sorted(folder.rglob(f"*{suffix}")):
        yield path.relative_to(folder).parts[0].removesuffix(suffix), path


def of_rule(rule: str, usages: Sequence[Usage], asked: Sequence[Benchmark]) -> RuleUse:
    """Sums up the jobs of a rule. Where they asked for different things, the most."""
    return RuleUse(
        rule=rule,
        usages=usages,
        cores=max((one.cores for one in asked if one.cores), default=None),
        memory_bytes=max((one.memory_bytes for one in asked if one.memory_bytes), default=None),
        # The job's own is exact but of one process; Snakemake's is of all of them, but only now and then.
        peak_bytes=max([one.peak_bytes for one in usages] + [one.peak_bytes or 0 for one in asked]),
        gpus=max((one.gpus for one in asked), default=0),
        workers=max((one.workers for one in asked if one.workers is not None), default=None),
    )


def in_words(use: RuleUse) -> Row:
    """Words a rule's numbers for the table."""
    advice, keys = advise(use)
    fullest = max(use.cards, key=lambda card: card.peak_bytes / card.total_bytes, default=None)
    return Row(
        rule=use.rule,
        jobs=len(use.usages),
        time=duration(use.seconds),
        cores=f"{use.cores_used:.1f}" + (f" of {use.cores}" if use.cores else ""),
        memory=_gib(use.peak_bytes) + (f" of {_gib(use.memory_bytes)}" if use.memory_bytes else "") + " GiB",
        disk=f"{_sum(one.read_bytes for one in use.usages)} / {_sum(one.written_bytes for one in use.usages)}",
        gpu="–" if use.busy is None else f"{use.busy:.0%}".replace("%", " %"),
        gpu_memory=f"{_gib(fullest.peak_bytes)} of {_gib(fullest.total_bytes)} GiB" if fullest else "–",
        advice=advice,
        keys=keys,
    )


def advise(use: RuleUse) -> tuple[str, str]:
    """Says what to change, and by which keys of a profile; empty where the jobs were short, or well cut."""
    told = [one for one in use.usages if one.seconds >= LONG]
    if not told:
        return "", ""
    said, change = [], {}
    busiest = max(one.cpu_seconds / one.seconds for one in told)
    of_each = math.ceil(use.cores / max(use.gpus, 1)) if use.cores else 0
    waits = use.busy is not None and use.busy < IDLE
    if waits and use.workers is not None and use.workers < of_each - 1:
        said.append(f"the GPU waits {100 * (1 - (use.busy or 0)):.0f} % of the time for batches")
        change["workers"] = of_each - 1
    elif waits and use.cores and busiest > NEAR * use.cores:
        said.append("the GPU waits for the CPU")
        change[_cores_key(use)] = 2 * of_each
    elif use.cores and busiest < use.cores / 2:
        said.append(f"needs fewer cores, at most {busiest:.1f}")
        change[_cores_key(use)] = math.ceil(math.ceil(busiest * 1.25) / max(use.gpus, 1))
    elif use.cores and busiest > 1.5 * use.cores:
        said.append(f"takes {busiest:.1f} cores, which others miss")
        change[_cores_key(use)] = math.ceil(math.ceil(busiest) / max(use.gpus, 1))
    if use.memory_bytes and use.peak_bytes > NEAR * use.memory_bytes:
        said.append("comes close to its memory")
        change["mem_mb"] = _thousands(1.5 * use.peak_bytes)
    elif use.memory_bytes and use.peak_bytes < use.memory_bytes / 4 and use.memory_bytes > 4 * 2**30:
        said.append("needs less memory")
        change["mem_mb"] = _thousands(1.5 * use.peak_bytes)
    if use.rule in BATCH and use.cards and all(card.peak_bytes < ROOMY * card.total_bytes for card in use.cards):
        said.append(f"the GPU's memory has room for a larger {BATCH[use.rule]}")
    return "; ".join(said), _keys(use.rule, change)


def _cores_key(use: RuleUse) -> str:
    return "cpus_per_gpu" if use.gpus else "threads"


def _keys(rule: str, change: dict[str, int]) -> str:
    """Words a change as lines of a profile: on the command line the same option would replace the profile's."""
    threads = change.pop("threads", None)
    words = [f"set-threads: {{{rule}: {threads}}}"] if threads else []
    if change:
        words.append(f"set-resources: {{{rule}: {{{', '.join(f'{key}: {value}' for key, value in change.items())}}}}}")
    return ", ".join(words)


def _thousands(size: float) -> int:
    return 1000 * math.ceil(size / 2**20 / 1000)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}" if size < 10 * 2**30 else f"{size / 2**30:.0f}"


def _sum(sizes: Iterable[int | None]) -> str:
    known = [one for one in sizes if one is not None]
    if not known:
        return "–"
    size = sum(known)
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
