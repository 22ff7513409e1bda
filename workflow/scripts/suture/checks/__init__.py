"""What would fail later: one list of checks, a module for each group, for `doctor` and `sanity_check`.

A check looks and never changes anything. It yields findings in plain words,
each failure with its cure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from suture.checks import (
    cluster,
    conda,
    configuration,
    data,
    disk,
    gpu,
    labels,
    plan,
    profile,
    software,
    splits,
    token,
    training,
    weights,
)
from suture.checks.base import Finding, Setting
from suture.redaction import redact

Check = Callable[[Setting], Iterator[Finding]]

GROUPS: Mapping[str, Check] = {
    "software": software.check,
    "configuration": configuration.check,
    "data": data.check,
    "split": splits.check,
    "labels": labels.check,
    "weights": weights.check,
    "token": token.check,
    "profile": profile.check,
    "cluster": cluster.check,
    "conda": conda.check,
    "gpu": gpu.check,
    "disk": disk.check,
    "plan": plan.check,
    "training": training.check,
}
"""The groups in the order in which a user would mend them."""

HEAVY = frozenset({"training"})
"""Groups that load a model: `sanity_check` runs them, `doctor` where they are asked for by name."""


def findings(setting: Setting, groups: Mapping[str, Check] = GROUPS) -> Iterator[tuple[str, Finding]]:
    """Runs checks and gives what they find, with their group.

    A check that itself goes wrong is a finding: the others still tell what they see.
    """
    for name, check in groups.items():
        try:
            for finding in check(setting):
                # What is found may quote a file in which somebody wrote a token.
                yield name, replace(finding, says=redact(finding.says), cure=redact(finding.cure))
        except Exception as error:
            yield (
                name,
                Finding(
                    status="WARN",
                    says=f"could not be checked: {type(error).__name__}: {error}",
                    cure="please report this",
                ),
            )
