"""What every command shares: its parser, its exit codes, how it reports errors.

Exit codes: 0 done; 2 bad input, which no retry can cure; 75 stopped at its
deadline with progress saved (EX_TEMPFAIL: try again).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from suture import usage
from suture.errors import SutureError

DONE = 0
BAD_INPUT = 2
DEADLINE = 75


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.required or action.default in (None, []) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that takes each option in dash and underscore spelling.

    ``add_argument("--max-rejected")`` also accepts ``--max_rejected``; only the
    dashed one is shown in ``--help``. Abbreviations are refused, since a
    shortened option changes its meaning when a longer one is added.
    """

    def __init__(self, description: str | None, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(description=description, allow_abbrev=False, **kwargs)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args([self._dashed(word) for word in words], namespace)

    def _dashed(self, word: str) -> str:
        if not word.startswith("--"):
            return word
        option, equals, value = word.partition("=")
        dashed = "--" + option[2:].replace("_", "-")
        return dashed + equals + value if dashed in self._option_string_actions else word


def share(text: str) -> float:
    """Reads an option's value as a share from 0 to 1: ``type=share``."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def run(
    main: Callable[[argparse.Namespace], int | None], parser: argparse.ArgumentParser, *, gpus: bool = False
) -> NoReturn:
    """Parses the command line, runs ``main``, and ends the process.

    A :class:`SutureError` becomes its text on stderr and exit code 2. Any
    other exception keeps its traceback: it is our fault, not the user's.
    In a job of the workflow the last line says what it used, of its GPUs too
    where the command works on ``gpus``.
    """
    args = parser.parse_args()
    meter = usage.meter(gpus=gpus)
    try:
        code = main(args)
    except SutureError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); that is not an error.
        sys.stderr.close()
        sys.exit(DONE)
    if meter and code in (None, DONE, DEADLINE):
        meter.finish()
    sys.exit(DONE if code is None else code)
