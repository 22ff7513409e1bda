"""What all commands promise: both spellings, exit codes, errors without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import SCRIPTS, run_script
from suture.cli import Parser

COMMANDS = sorted(path.stem for path in SCRIPTS.glob("*.py"))


def test_dash_and_underscore_are_the_same_option() -> None:
    parser = Parser("x")
    parser.add_argument("--max-rejected", type=float)
    parser.add_argument("text", nargs="?")
    assert parser.parse_args(["--max_rejected", "0.5"]).max_rejected == 0.5
    assert parser.parse_args(["--max_rejected=0.5"]).max_rejected == 0.5
    assert parser.parse_args(["--max-rejected", "1", "a_b"]).text == "a_b", "only options are respelled"


def test_an_abbreviated_option_is_refused() -> None:
    parser = Parser("x")
    parser.add_argument("--max-rejected", type=float)
    with pytest.raises(SystemExit):
        parser.parse_args(["--max", "0.5"])


def test_bad_input_is_exit_code_2_and_a_text_for_people(tmp_path: Path) -> None:
    text = run_script("resolve_config", "--config", tmp_path / "none.yaml", "--output", tmp_path / "out.yaml", code=2)
    assert "file not found" in text and "none.yaml" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """`--help` works, begins with the command's own docstring and has no empty option help."""
    text = run_script(command, "--help")
    first_words = (SCRIPTS / f"{command}.py").read_text().split('"""')[1].split()[:4]
    assert " ".join(first_words) in " ".join(text.split())


def test_help_shows_defaults_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser("x")
    parser.add_argument("--output", required=True, help="file to write")
    parser.add_argument("--rejected", help="what was left out")
    parser.add_argument("--seed", type=int, default=42, help="seed")
    parser.print_help()
    said = capsys.readouterr().out
    assert "(default: 42)" in said
    assert "None" not in said
