"""What is said where a job could not run: before the first one is submitted, in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from suture.environment import check_deployment
from suture.errors import SutureError


def env(folder: Path, *pins: str) -> list[Path]:
    lines = ["dependencies:", "- python=3.11", "- pip:", *(f"  - {pin}" for pin in pins)]
    (folder / "rule.yaml").write_text("\n".join(lines) + "\n")
    return [folder / "rule.yaml", folder / "all.yaml"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/sbatch" if name == "sbatch" else None)


def test_without_conda_this_python_s_packages_must_do(tmp_path: Path, cluster: None) -> None:
    with pytest.raises(SutureError, match=r"lacks nobody-has-this: load conda .*make setup") as refused:
        check_deployment(env(tmp_path, "numpy==2.4.6", "nobody-has-this==1.0"), executor="slurm", deployed=False)
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(SutureError):
        check_deployment(env(tmp_path, "nobody-has-this==1.0"), executor="local", deployed=False)
    check_deployment(env(tmp_path, "nobody-has-this==1.0"), executor="slurm", deployed=True)


def test_where_they_do_it_is_said_which_python_runs(
    tmp_path: Path, cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    check_deployment(env(tmp_path, "numpy==2.4.6"), executor="slurm", deployed=False)
    assert "No conda on PATH: jobs run in" in capsys.readouterr().err
    check_deployment(env(tmp_path, "numpy==2.4.6"), executor="local", deployed=False)
    assert capsys.readouterr().err == ""


def test_without_slurm_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SutureError, match=r"no sbatch on PATH: .* leave out --profile slurm"):
        check_deployment(env(tmp_path), executor="slurm", deployed=True)
