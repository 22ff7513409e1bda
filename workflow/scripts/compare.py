"""Compares runs on the same questions: paired, with intervals over cases, corrected for the number of comparisons.

Run as:
    make compare RUNS=a,b
    python workflow/scripts/compare.py --runs a b                  the experiments that both runs have
    python workflow/scripts/compare.py --runs demo/qwen demo/llava two experiments of a run
    python workflow/scripts/compare.py --runs demo/sweeps/qwen     all points of a sweep
    python workflow/scripts/compare.py --task open_vqa --predictions old=old.jsonl new=new.jsonl

Runs lie under --results; what an answer is, the labels and the dataset come from
their config.resolved.yaml. A difference is the second run's number less the first's.
Runs that did not answer the same questions are refused. The table is printed, and
written as Markdown beside the JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from suture import files, predicted, registry
from suture.cli import Parser, run
from suture.comparing import Contest, compare, to_markdown
from suture.config.flags import add_flags, from_args, given_flags
from suture.config.scoring import Score
from suture.context import make_context
from suture.errors import InputError


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked = made.add_mutually_exclusive_group(required=True)
    asked.add_argument("--runs", nargs="+", metavar="RUN[/EXPERIMENT]", help="two or more; also as one word: a,b")
    asked.add_argument("--predictions", nargs="+", metavar="NAME=FILE", help="files of predictions, with --task")
    made.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="folder of the runs (results)"
    )
    made.add_argument("--task", metavar="NAME", help=f"with --predictions: {', '.join(registry.names('task'))}")
    made.add_argument("--labels", type=Path, metavar="FILE", help="with --predictions: the closed set of answers")
    made.add_argument("--adapter", metavar="NAME", help="with --predictions: dataset adapter, for names of objects")
    made.add_argument(
        "--keys", nargs="+", metavar="KEY", help="numbers to compare (all): fewer asked are fewer corrected for"
    )
    made.add_argument(
        "--output", type=Path, metavar="FILE", help="JSON (default: comparisons/<names>.json under --results)"
    )
    add_flags(made, Score)
    return made


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's configuration with its defaults, the points of its sweeps included, and what it calls leaky.

    ``own`` names the experiments that are no point of a sweep.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    own: frozenset[str]
    leaky: frozenset[str]

    @property
    def answered(self) -> list[str]:
        """The experiments that were predicted, points of sweeps and repeats each by its own name."""
        found = self.config.get("experiments") or {}
        answered = {path.stem for path in (self.folder / "predictions").glob("*.jsonl")}
        return sorted(name for name in answered if _of(name, found) is not None)

    @property
    def experiments(self) -> list[str]:
        """Those of them that the run itself is about."""
        own = {name: one for name, one in self.config["experiments"].items() if name in self.own}
        return [name for name in self.answered if _of(name, own) is not None]


def _of(name: str, experiments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the settings of an experiment or of a repeat of it; None for a baseline's answers."""
    if name in experiments:
        return cast(dict[str, Any], experiments[name])
    base = next((one for one in experiments if name.startswith((f"{one}.seed-", f"{one}.fold-"))), None)
    if base is None or name.endswith((".blind", ".shuffled", ".zero_shot")):
        return None
    return cast(dict[str, Any], experiments[base])


def main(args: argparse.Namespace) -> None:
    """Compares and writes."""
    names = [part for word in args.runs or args.predictions for part in word.split(",") if part]
    names = [one for name in names for one in (_points(args.results, name) if args.runs else [name])]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)}: two or more different ones are compared", fix="--runs a b")
    contests, leaky, groups = _of_runs(args, names) if args.runs else _of_files(args, names)
    how = cast(Score, from_args(args, Score, **({} if "groups" in given_flags(args, Score) else {"groups": groups})))
    found = compare(
        contests,
        groups=predicted.read_groups(Path(how.groups)) if how.groups else None,
        keys=args.keys,
        resamples=how.resamples,
        seed=how.seed,
    )
    found["leaky"] = sorted(leaky)
    called = ",".join(name.partition("=")[0].replace("/", ".") for name in names)
    output = args.output or args.results / "comparisons" / f"{called}.json"
    table = to_markdown(found)
    files.write_json(output, found)
    files.write_text(output.with_suffix(".md"), table)
    print(table)
    print(f"written to {output} and {output.with_suffix('.md')}")


def _of_files(args: argparse.Namespace, names: list[str]) -> tuple[list[Contest], set[str], str | None]:
    if args.task is None:
        raise InputError("what is an answer in these predictions?", fix="give --task NAME")
    rows = {}
    for given in names:
        name, _, path = given.partition("=")
        if not name or not path:
            raise InputError(f"--predictions {given!r} is not NAME=FILE")
        rows[name] = predicted.read(Path(path)).rows
    labels = predicted.read_labels(args.labels) if args.labels else ()
    contest = Contest(
        task=registry.task(args.task), context=make_context(labels=labels, adapter=args.adapter), runs=rows
    )
    return [contest], set(), None


def _of_runs(args: argparse.Namespace, names: list[str]) -> tuple[list[Contest], set[str], str | None]:
    if idle := [name for name in ("task", "labels", "adapter") if getattr(args, name) is not None]:
        raise InputError(f"with --runs, --{idle[0]} would do nothing: the run's configuration tells it")
    runs = {name: _read_run(args.results, name.partition("/")[0]) for name in names}
    wanted = {name: name.partition("/")[2] for name in names}
    contests = []
    leaky: set[str] = set()
    for chosen in _pairings(runs, wanted):
        settings = [_settings(runs[name], experiment) for name, experiment in chosen.items()]
        if any(one != settings[0] for one in settings):
            raise InputError(
                f"{' and '.join(names)} differ in dataset, task or labels: their numbers mean different things",
                fix="compare experiments of one task on one dataset",
            )
        dataset, task, labels = settings[0]
        called = {name: f"{runs[name].name}/{experiment}" for name, experiment in chosen.items()}
        rows = {
            called[name]: predicted.read(runs[name].folder / "predictions" / f"{experiment}.jsonl").rows
            for name, experiment in chosen.items()
        }
        leaky |= {called[name] for name, experiment in chosen.items() if experiment in runs[name].leaky}
        context = make_context(labels=labels, adapter=dataset)
        contests.append(Contest(task=registry.task(task), context=context, runs=rows))
    groups = {(one.config.get("score") or {}).get("groups") for one in runs.values()}
    if len(groups) > 1:
        raise InputError("the runs resample different groups", fix="give --groups FILE")
    return contests, leaky, groups.pop()


def _points(results: Path, name: str) -> list[str]:
    """Returns the points of RUN/sweeps/NAME that were predicted, the best one first; any other name as it is."""
    of, _, sweep = name.partition("/sweeps/")
    if not sweep:
        return [name]
    answered = _read_run(results, of).answered
    points = files.read_json(results / of / "sweeps" / sweep / "sweep.json")["points"]
    made = [run for point in points for run in answered if _of(run, {point["point"]: {}}) is not None]
    return [f"{of}/{run}" for run in made]


def _read_run(results: Path, name: str) -> Run:
    folder = results / name
    path = folder / "config.resolved.yaml"
    paths = [one for one in (path, *sorted(folder.glob("sweeps/*/config.resolved.yaml"))) if one.is_file()]
    if not paths:
        known = sorted(one.parent.name for one in results.glob("*/config.resolved.yaml"))
        raise InputError(
            f"there is no run {name!r}",
            where=results,
            fix=f"there are: {', '.join(known) or 'none'}; the target `report` writes config.resolved.yaml",
        )
    configs = [yaml.safe_load(files.read_text(one)) for one in paths]
    named = {experiment: one for config in reversed(configs) for experiment, one in config["experiments"].items()}
    own = frozenset(configs[0]["experiments"] if paths[0] == path else ())
    metrics = folder / "metrics.json"
    scored = files.read_json(metrics)["experiments"] if metrics.is_file() else {}
    # Of points there is no table of the run, only what the rule of each wrote.
    alone = {one.stem: one for one in folder.glob("metrics/*.json") if one.stem not in scored}
    scored |= {experiment: files.read_json(one) for experiment, one in alone.items()}
    leaky = frozenset(experiment for experiment, entry in scored.items() if entry["leaky"])
    config = {**configs[0], "experiments": named}
    return Run(name=name, folder=folder, config=config, own=own, leaky=leaky)


def _pairings(runs: Mapping[str, Run], wanted: Mapping[str, str]) -> list[dict[str, str]]:
    """Returns, for each comparison, the experiment of each run.

    Raises:
        InputError: a run has no such experiment, or it is not clear which are meant.
    """
    for name, experiment in wanted.items():
        if experiment and experiment not in runs[name].answered:
            raise InputError(
                f"run {runs[name].name!r} has no predictions of {experiment!r}",
                fix=f"there are: {', '.join(runs[name].answered) or 'none'}",
            )
    if all(wanted.values()):
        return [dict(wanted)]
    there = {name: [experiment] if experiment else runs[name].experiments for name, experiment in wanted.items()}
    if all(len(one) == 1 for one in there.values()):
        return [{name: one[0] for name, one in there.items()}]
    shared = sorted(set.intersection(*(set(one) for one in there.values())))
    if not shared:
        listed = "; ".join(f"{name}: {', '.join(one) or 'none'}" for name, one in there.items())
        raise InputError(f"the runs share no experiment ({listed})", fix="name them: --runs a/EXPERIMENT b/EXPERIMENT")
    return [dict.fromkeys(there, experiment) for experiment in shared]


def _settings(one: Run, experiment: str) -> tuple[str, str, tuple[str, ...]]:
    """Returns what must be equal for a comparison: dataset, task, labels."""
    settings = _of(experiment, one.config["experiments"]) or {}
    choices = (settings.get("predict") or {}).get("choices")
    labels = predicted.read_labels(Path(choices)) if choices else tuple(settings.get("labels") or ())
    return one.config["dataset"], settings["task"], labels


if __name__ == "__main__":
    run(main, parser())
