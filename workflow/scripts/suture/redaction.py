"""Keeping secrets, and names of this machine's folders, out of what is written for others."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from suture.errors import InputError

_SECRET_NAME = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|CREDENTIAL)", re.IGNORECASE)
# Tokens by their publishers' marks: Hugging Face, OpenAI and its like, GitHub, W&B's and AWS's keys, private keys.
_SECRET_FORM = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def secrets(shortest: int = 8) -> list[str]:
    """Returns the values of environment variables whose names say that they are secret, longest first."""
    found = {value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= shortest}
    return sorted(found, key=lambda value: (-len(value), value))


def redact(text: str) -> str:
    """Replaces secrets by ``***``, the working folder by ``.`` and the home folder by ``~``."""
    for value in secrets():
        text = text.replace(value, "***")
    text = _SECRET_FORM.sub("***", text)
    for folder, short in ((Path.cwd(), "."), (Path.home(), "~")):
        if len(folder.parts) > 1:
            text = re.sub(rf"{re.escape(str(folder))}(?=/|\W|$)", short, text)
    return text


def has_secret(text: str, *, shortest: int = 8) -> bool:
    """Tells whether a text holds a secret of this environment, or what has the form of one.

    Args:
        text: to look through.
        shortest: secrets of fewer characters are not looked for.
    """
    return bool(_SECRET_FORM.search(text)) or any(value in text for value in secrets(shortest))


def add_token_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the published scripts' ``--hf_token``, for :func:`refuse_token` to refuse with the way out."""
    parser.add_argument("--hf-token", metavar="TOKEN", help="refused: a command line is seen by others; set HF_TOKEN")


def refuse_token(args: argparse.Namespace) -> None:
    """Refuses a token on the command line.

    Raises:
        InputError: there is one.
    """
    if args.hf_token is not None:
        raise InputError(
            "--hf-token is not taken: command lines are seen by others and kept in logs",
            fix="set the environment variable HF_TOKEN, and revoke a token that was typed here",
        )
