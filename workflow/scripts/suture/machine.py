"""What a job runs on and from: host, device, memory, queue, code. Ledger and heartbeat ask; no manifest does."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from suture import files

ROOT = Path(__file__).parents[3]
_CODE = ["Snakefile", "rules", "workflow"]
_PACKAGES = ["torch", "transformers", "peft", "bitsandbytes", "accelerate"]
_SLURM = {
    "job": "SLURM_JOB_ID",
    "array_job": "SLURM_ARRAY_JOB_ID",
    "array_task": "SLURM_ARRAY_TASK_ID",
    "restarts": "SLURM_RESTART_COUNT",
}
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def host() -> str:
    """Returns the node's name."""
    return socket.gethostname()


def slurm_job() -> dict[str, str]:
    """Returns the ids that SLURM gave this job, from its environment; empty outside of it."""
    return {name: os.environ[variable] for name, variable in _SLURM.items() if os.environ.get(variable)}


def cpu() -> str:
    """Returns the processor's model."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus() -> list[str]:
    """Names the cards that this process can use; empty where it has not loaded torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def peak_gpu_bytes() -> int | None:
    """Returns the most memory that torch held on one of the cards; None without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return max(int(torch.cuda.max_memory_allocated(number)) for number in range(torch.cuda.device_count()))


def peak_resident_bytes() -> int:
    """Returns the most memory that this process held, its children not counted."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): kilobytes on Linux


def git_revision() -> tuple[str | None, bool | None]:
    """Returns the commit of the code, and whether the code differs from it; None where there is no git."""
    if _git("rev-parse", "--show-toplevel") != str(ROOT):
        return None, None  # no repository, or only one that this copy happens to lie in
    changed = _git("status", "--porcelain", "--", *_CODE)
    return _git("rev-parse", "HEAD"), None if changed is None else bool(changed)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def lock_digest() -> str | None:
    """Returns the sha256 of requirements.lock; None where the code was taken without it."""
    lock = ROOT / "requirements.lock"
    return files.sha256_file(lock) if lock.is_file() else None


def versions() -> dict[str, str]:
    """Returns the versions that are really installed, of Python and of what trains."""
    installed = {package: version(package) for package in _PACKAGES if find_spec(package)}
    return {"python": platform.python_version(), **installed}


def process_started(pid: int) -> int | None:
    """Returns when a process of this host started, in clock ticks since boot; None where there is no such process.

    With it a number that was given to another process since is not taken for the same. Source: proc(5), field 22
    of ``stat``.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def end_with_parent() -> None:
    """Has the kernel end this process when the one that started it dies, even by SIGKILL: prctl(2), Linux.

    For ``preexec_fn`` of a subprocess; does nothing on other systems.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
