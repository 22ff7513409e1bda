"""Jobs of a sweep: what they ask the queue for, and how one that another sweep started is found."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_entries import entry
from support import ROOT
from suture import ledger, profiles
from suture.errors import ConfigError
from suture.sweeps import chain, jobs
from suture.sweeps.chain import Chain, Ended


@pytest.fixture(scope="module")
def profile() -> profiles.Profile:
    return profiles.read(profiles.find("slurm", ROOT))


def test_a_point_gets_what_the_profile_gives_training(profile: profiles.Profile) -> None:
    asked = jobs.resources(profile, {})
    made = jobs.parameters(asked)
    assert made["slurm_partition"] == "gpu" and made["timeout_min"] == 600 and made["slurm_mem"] == "64000M"
    # The profile's own signal is Snakemake's; submitit has another.
    assert made["slurm_additional_parameters"] == {"gpus": "1", "cpus-per-gpu": 8}
    assert made["slurm_signal_delay_s"] == 60


def test_what_is_given_goes_before_the_profile(profile: profiles.Profile) -> None:
    given = {
        "slurm_partition": "cpu",
        "gpu": "",
        "cpus_per_gpu": "",
        "runtime": "1h30m",
        "gpu_model": "",
        "slurm_account": "me",
    }
    given |= {"slurm_extra": "--exclusive --nice=10"}
    made = jobs.parameters(jobs.resources(profile, given))
    assert (made["slurm_partition"], made["slurm_account"], made["timeout_min"]) == ("cpu", "me", 90)
    assert made["slurm_additional_parameters"] == {"exclusive": True, "nice": "10"}


def test_the_hungriest_rule_says_how_much_memory(profile: profiles.Profile) -> None:
    hungry = {**profile.keys, "set-resources": {"export_model": {"mem_mb": 90000}, "train_segment": {"mem_mb": 5000}}}
    asked = jobs.resources(dataclasses.replace(profile, keys=hungry), {})
    assert asked["mem_mb"] == 90000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"slurm_partitoin": "gpu"}, "did you mean 'slurm_partition'"),
        ({"nodes": "2"}, "a point runs on one node"),
        ({"runtime": "soon"}, "'soon' is no time"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(profile: profiles.Profile, given: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        jobs.minutes(jobs.resources(profile, given))
    assert told in str(refused.value)


def test_a_lock_is_held_as_long_as_a_child_that_inherited_it_lives(tmp_path: Path) -> None:
    lock = tmp_path / "point.lock"
    assert not chain.is_held(lock) and chain.read_note(lock) is None
    with chain.held(lock, "d1") as descriptor:
        assert chain.is_held(lock)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    note = chain.read_note(lock)
    assert chain.is_held(lock) and note is not None and note.digest == "d1"
    child.communicate(b"\n")
    assert not chain.is_held(lock)


def work(folder: Path, *command: str, lines: int = 0) -> Chain:
    """A job whose Snakemake is another command."""
    return Chain(
        point="one.r-8",
        digest="d1",
        runs=("one.r-8",),
        command=command or (sys.executable, "-c", ""),
        folder=folder,
        lock=folder / "point.lock",
        log=folder / "point.log",
        ledger=folder / "ledger.jsonl",
        minutes=None,
        cards=None,
        local=True,
    )


APPEND = """
import sys, time
from pathlib import Path
with Path(sys.argv[1]).open("ab") as ledger:
    ledger.write(Path(sys.argv[2]).read_bytes())
time.sleep(float(sys.argv[3]))
sys.exit(int(sys.argv[4]))
"""


def ended(
    folder: Path, outcome: ledger.Outcome, *, experiment: str = "one.r-8", seconds: float = 0, code: int = 1
) -> Ended:
    """How a job ends in which a training ended so."""
    line = folder / "line.json"
    line.write_bytes(ledger.line_of(entry(experiment, 1, outcome=outcome)))
    command = (sys.executable, "-c", APPEND, str(folder / "ledger.jsonl"), str(line), str(seconds), str(code))
    return work(folder, *command)()


def test_a_job_says_how_it_ended(tmp_path: Path) -> None:
    assert work(tmp_path)() == Ended(state="done")
    assert ended(tmp_path, "signal").state == "interrupted"
    assert ended(tmp_path, "failed").state == "failed"
    # Entries of other points, and of this one before the job began, are not looked at.
    assert ended(tmp_path, "signal", experiment="one.r-16").state == "failed"
    refuses = "print('train.py: error: no such thing\\n  fix:   another'); raise SystemExit(1)"
    told = work(tmp_path, sys.executable, "-c", refuses)()
    assert told == Ended(state="failed", reason="train.py: error: no such thing fix:   another")


def test_at_its_deadline_a_job_does_not_let_snakemake_try_again(tmp_path: Path) -> None:
    """Snakemake would start the training anew in the seconds that are left of the job."""
    told = ended(tmp_path, "deadline", seconds=120)
    assert told == Ended(state="interrupted", reason="its time was over")
