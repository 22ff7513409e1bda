"""Memory of a process on its device: how much there is, how much some work takes, and getting rid of it again."""

from __future__ import annotations

import ctypes
import gc
import random
import resource
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

GIB = 2**30
STATUS = "/proc/self/status"
OWN_GROUP = Path("/proc/self/cgroup")
CONTROL_GROUPS = Path("/sys/fs/cgroup")

_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an exception says that memory could not be had. The libraries have no one type for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The last is oneDNN's, all it says; "... a primitive descriptor" is another matter.
    return isinstance(error, RuntimeError) and (
        any(message in str(error) for message in _MESSAGES) or str(error) == "could not create a primitive"
    )


def in_gib(n_bytes: float) -> str:
    """Words a number of bytes: ``74.1 GiB``."""
    return f"{n_bytes / GIB:.1f} GiB" if n_bytes >= GIB else f"{n_bytes / GIB:.2f} GiB"


class Meter(ABC):
    """Measures the memory that this process has on a device, in bytes."""

    kills: bool
    """Whether taking more than there is can end the process, instead of raising."""

    safe: float
    """Share of the memory that can be counted on: allocators keep pieces that fit nothing."""

    @abstractmethod
    def used(self) -> int:
        """Returns what is held now."""

    @abstractmethod
    def capacity(self) -> int:
        """Returns what may be held in all: what is held now, and what is free."""

    @abstractmethod
    def reset(self) -> None:
        """Begins to look for the highest point anew."""

    @abstractmethod
    def peak(self) -> int:
        """Returns the highest point since :meth:`reset`."""

    def measure(self, work: Callable[[], None]) -> int | None:
        """Returns the most that is held while ``work`` runs, or None where memory did not suffice."""
        release()
        self.reset()
        try:
            work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            forget(error)
            found = None
        else:
            found = self.peak()
        release()
        return found


class CudaMeter(Meter):
    """Memory of the current CUDA device. Of a card shared with others, theirs is not free."""

    kills = False
    safe = 0.95

    def used(self) -> int:
        return int(torch.cuda.memory_allocated())

    def capacity(self) -> int:
        return int(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        return int(torch.cuda.max_memory_allocated())


class HostMeter(Meter):
    """Resident memory of the process, as Linux counts it (proc(5): VmRSS, VmHWM, clear_refs)."""

    kills = True
    safe = 0.9

    def used(self) -> int:
        return _kib(STATUS, "VmRSS")

    def capacity(self) -> int:
        """What the machine has free, less where a limit of the process or of its control group is nearer."""
        free = [_kib("/proc/meminfo", "MemAvailable")]
        for limit, counted in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            soft, _ = resource.getrlimit(limit)
            if soft != resource.RLIM_INFINITY:
                free.append(soft - _kib(STATUS, counted))
        free += _free_in_control_group()
        return self.used() + max(0, min(free))

    def reset(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> int:
        return _kib(STATUS, "VmHWM")


def _kib(path: str, name: str) -> int:
    """Returns an entry of a file of proc(5), which counts in KiB, in bytes."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _free_in_control_group() -> list[int]:
    """Returns what control groups (version 2) leave, the job's own and those around it, as SLURM makes them."""
    lines = OWN_GROUP.read_text(encoding="utf-8").splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return []
    found = []
    for group in [CONTROL_GROUPS / own, *(CONTROL_GROUPS / own).parents]:
        limit, current = group / "memory.max", group / "memory.current"
        if group.is_relative_to(CONTROL_GROUPS) and limit.is_file() and limit.read_text().strip() != "max":
            found.append(int(limit.read_text()) - int(current.read_text()))
    return found


def meter(device: torch.device) -> Meter:
    """Returns the meter of a device.

    Raises:
        ValueError: a device that is neither a CPU nor CUDA's.
    """
    kinds: dict[str, type[Meter]] = {"cuda": CudaMeter, "cpu": HostMeter}
    if device.type not in kinds:
        raise ValueError(f"memory of {device.type} devices is not measured")
    return kinds[device.type]()


def forget(error: BaseException) -> None:
    """Empties the frames that an exception came through: they hold the tensors of the work that failed."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__
    # Only here: it takes a third of a second, and work that succeeds leaves no cycles.
    gc.collect()


def release() -> None:
    """Gives memory that is no longer used back to device and system, where allocators would keep it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc's
        libc.malloc_trim(0)


@contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Undoes what trial steps do: the states of all random generators, buffers, modes; gradients are none after it."""
    generators = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    on_cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for parameter in model.parameters():
            parameter.grad = None
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for module, training in modes:
            module.training = training
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        if on_cards:
            torch.cuda.set_rng_state_all(on_cards)
