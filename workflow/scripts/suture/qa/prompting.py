"""The prompts, made of template files: rules first, the clip's facts last.

What is the same for all clips comes first, so that a server that caches
prefixes reads it once. No name of a case, a clip or a file, and no time, is in
a prompt: facts only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import jinja2

from suture import files
from suture.errors import ConfigError, InputError
from suture.files import sha256_text
from suture.qa.base import Facts
from suture.qa.names import ObjectNames

PUBLISHED = Path(__file__).parent / "prompts"
_EXAMPLE = (
    '{"phase": "...", "anatomy": ["..."], "instruments": ["..."], "phase_question": "...", "phase_answer": "...", ...}'
)

Message = dict[str, str]


class Prompts:
    """The prompt templates of a folder, for one dataset.

    Args:
        folder: with ``system.txt``, ``clip.txt`` and ``retry.txt`` (Jinja), ``rules.txt`` and ``styles.txt`` (a line
            each). A file that is not there is taken from the ones that come with the program.
        names: the dataset's object names.
        phases: the dataset's phase names.
        wordings: how many styles are in use. Which one a clip gets is a stable hash of seed and clip.
        first: the first style in use.
        seed: moves that choice.

    Raises:
        InputError: a template that cannot be read or is not Jinja.
    """

    def __init__(
        self,
        folder: Path | None,
        names: ObjectNames,
        phases: Sequence[str],
        *,
        wordings: int = 1,
        first: int = 0,
        seed: int = 42,
    ) -> None:
        self._folder = folder
        self._names = names
        self._phases = tuple(phases)
        self._seed = seed
        if folder is not None and not folder.is_dir():
            raise InputError("no such folder of prompts", where=folder)
        self._templates = {name: self._template(name) for name in ("system", "clip", "retry")}
        styles = self._lines("styles")
        self._styles = styles[first : first + wordings]
        if len(self._styles) < wordings:
            raise ConfigError(
                f"{wordings} wordings from number {first} on; styles.txt has {len(styles)} lines",
                fix="fewer wordings, or more styles",
            )

    def messages(self, facts: Facts, kinds: Sequence[str], reasons: Sequence[str] = ()) -> tuple[Message, ...]:
        """Returns the chat about one clip; ``reasons`` are why an earlier reply was refused."""
        number = int(sha256_text(f"{self._seed}/{facts.clip}/style")[:12], 16) % len(self._styles)
        clip = self._render("clip", facts=facts, kinds=tuple(kinds), style=self._styles[number])
        if reasons:
            clip = f"{clip}\n{self._render('retry', reasons=tuple(reasons))}"
        return {"role": "system", "content": self._system}, {"role": "user", "content": clip}

    @cached_property
    def _system(self) -> str:
        return self._render(
            "system",
            rules=self._lines("rules"),
            phases=self._phases,
            anatomy=self._names.in_order("anatomy", self._of("anatomy")),
            instruments=self._names.in_order("instruments", self._of("instruments")),
            example=_EXAMPLE,
        )

    def _of(self, kind: str) -> list[str]:
        return [name for name, own in self._names.kinds.items() if own == kind]

    def _path(self, name: str) -> Path:
        own = self._folder / f"{name}.txt" if self._folder else None
        return own if own is not None and own.is_file() else PUBLISHED / f"{name}.txt"

    def _lines(self, name: str) -> list[str]:
        return [line.strip() for line in files.read_text(self._path(name)).splitlines() if line.strip()]

    def _template(self, name: str) -> jinja2.Template:
        path = self._path(name)
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        try:
            return environment.from_string(files.read_text(path))
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"not a prompt template: {error.message}", where=f"{path}:{error.lineno}") from error

    def _render(self, name: str, **values: object) -> str:
        try:
            return self._templates[name].render(**values).strip()
        except jinja2.UndefinedError as error:
            raise InputError(
                f"the prompt template asks for what there is not: {error}", where=self._path(name)
            ) from error
