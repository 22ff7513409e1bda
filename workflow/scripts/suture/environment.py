"""Which Python the rules' commands run in."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def put_python_first() -> None:
    """Makes `python` in a rule's shell the one that Snakemake itself runs in.

    With conda, the rule's environment is put before it.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
