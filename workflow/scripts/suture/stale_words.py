"""Why a result is stale, in plain words: Snakemake's reasons, and which options have changed from what to what."""

from __future__ import annotations

import ast
import difflib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def causes(one: Any, reason: Any, outputs: Sequence[Path]) -> list[str]:
    """Words why Snakemake would do a job; empty where it only follows from others.

    Args:
        one: Snakemake's job.
        reason: Snakemake's reasons for it.
        outputs: the files that it makes.
    """
    found = []
    if reason.forced:
        found.append("asked for (--force, --forcerun)")
    if reason.missing_output:
        some = any(path.exists() for path in outputs)
        found.append(f"not there: {_some(reason.missing_output)}" if some else "never made, or deleted")
    if reason.incomplete_output:
        found.append("half written: an earlier attempt was cut off")
    if reason.updated_input:
        found.append(f"newer than its result: {_some(reason.updated_input)}")
    if reason.input_changed:
        found.append("its list of input files is another one")
    if reason.params_changed:
        change = reason.params_changed
        found += params_in_words(dict(one.params.items()), change.only_old, change.only_new)
    if reason.code_changed:
        found.append("its rule was edited (rules/*.smk)")
    if reason.software_stack_changed:
        found.append(f"its environment is another one (envs/{one.rule.name}.yaml)")
    if reason.nooutput or reason.noio:
        found.append("made each time it is asked for")
    return found


def _some(paths: Iterable[Any]) -> str:
    names = sorted(map(str, paths))
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def params_in_words(params: Mapping[str, Any], before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Says which parameters of a job have changed.

    Args:
        params: of the job, by name, as they are now.
        before: values that only the last run had, as Snakemake keeps them: their ``repr``.
        now: values that only this run has.
    """
    left = sorted(before)
    words = []
    for value in sorted(now):
        name = next((name for name, one in params.items() if repr(one) == value), "a parameter")
        if name == "code":
            left = [one for one in left if not re.fullmatch(r"'[0-9a-f]{16}'", one)] if len(left) > 1 else []
            words.append("its code was edited")
            continue
        near = difflib.get_close_matches(value, left, n=1, cutoff=0.0)
        if near:
            left.remove(near[0])
        words.append(_change(name, _literal(near[0]) if near else None, _literal(value)))
    return words + [f"no longer given: {_short(_literal(one))}" for one in left]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _change(name: str, before: Any, now: Any) -> str:
    if isinstance(now, str) and isinstance(before, str) and now.startswith("--") and before.startswith("--"):
        old, new = _flags(before), _flags(now)
        changed = [flag for flag in [*new, *old] if old.get(flag) != new.get(flag)]
        parts = [f"{flag[2:]} {_value(old, flag)} -> {_value(new, flag)}" for flag in dict.fromkeys(changed)]
        return f"its options have changed: {', '.join(parts)}"
    old, new = _keys(before), _keys(now)
    if old and new:
        changed = [key for key in dict.fromkeys([*new, *old]) if old.get(key) != new.get(key)]
        parts = [f"{key} {_short(old.get(key, 'not given'))} -> {_short(new.get(key, 'not given'))}" for key in changed]
        return f"{name} has changed: {', '.join(parts)}"
    if isinstance(now, str) and re.fullmatch(r"[0-9a-f]{16,64}", now):
        return f"what it is made from has changed ({name})"
    was = f"{_short(before)} -> " if before is not None else ""
    return f"{name} has changed: {was}{_short(now)}"


def _flags(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for word in shlex.split(text):
        if word.startswith("--"):
            on = not word.startswith("--no-")
            name = word if on else f"--{word[5:]}"
            found[name] = "yes" if on else "no"
        elif name:
            found[name] = word if found[name] in ("yes", "no") else f"{found[name]} {word}"
    return found


def _keys(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns a configuration, given as JSON text or as what it stands for, by dotted keys; empty where it is none."""
    if isinstance(value, str) and not prefix and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    if not isinstance(value, dict):
        return {prefix: value} if prefix else {}
    return {k: v for name, one in value.items() for k, v in _keys(one, f"{prefix}.{name}" if prefix else name).items()}


def _value(flags: Mapping[str, str], name: str) -> str:
    return flags.get(name, "not given")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
