"""The configuration: can it be used, and is all of it settled."""

from __future__ import annotations

from collections.abc import Iterator

from suture.checks.base import Finding, Setting, fail, ok, warn
from suture.config.schedule import settle


def check(setting: Setting) -> Iterator[Finding]:
    """Tells what is wrong in the configuration, and what is left to the plan."""
    if setting.config is None:
        yield fail(setting.config_problem, "mend the keys named; config/README.md has them all")
        return
    experiments = setting.config.experiments
    yield ok(f"run {setting.config.run}: {', '.join(experiments) or 'data only, no experiment'}")
    for name, why in settle(setting.raw, setting.run).waiting.items():
        yield warn(
            f"experiment {name}: its steps or jobs are left to the plan, {why}",
            "run `snakemake plan`; until then a run makes its data and plan, and trains nothing of it",
        )
    if any(one.train.max_steps == one.train.steps_per_job > 20_000 for one in experiments.values()):
        yield warn(
            "a run of more than 20,000 steps is one job: the queue's limit may end it",
            "set steps_per_job lower, or to auto",
        )
