"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import SHARED


@pytest.fixture(scope="session")
def cataract1k() -> Path:
    """The real Cataract-1K annotations; the test is skipped where they are absent."""
    root = SHARED / "cataract1k"
    if not root.is_dir():
        pytest.skip(f"no test data at {root}")
    return root
