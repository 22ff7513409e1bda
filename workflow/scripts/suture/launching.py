"""Starts a command once for each of its processes: torchrun on one node, srun over several.

The command starts itself: what was called becomes the parent of its processes
(or makes room for srun), and each of them finds in its environment which one
it is. Needs no torch until there is more than one.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from suture import libraries
from suture.errors import InputError, SutureError

STARTED = "SUTURE_JOINED_BY"
"""In the environment of processes that srun starts: they do not start others."""

_HEARD = 5
_BEGAN = "SUTURE_BEGAN"

GRACE = 10
"""Seconds that processes have to end when one of them has failed: none can go on without the others."""


def began() -> float:
    """Returns the moment on ``time.monotonic``'s clock at which the job began: this process, or what started it."""
    now = time.monotonic()
    earlier = os.environ.get(_BEGAN)
    return now if earlier is None else now - max(0.0, time.time() - float(earlier))


def is_one_of_several() -> bool:
    """Tells whether this process is one of several that do the same work; :func:`start` or torchrun has said so."""
    return "RANK" in os.environ


def visible_gpus() -> int:
    """Returns the number of GPUs that the queue has given this process; 0 where it says nothing of them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return len([one for one in given.split(",") if one.strip() and one.strip() != "-1"])


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what :func:`start` is asked."""
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="processes on a node that train together, by torchrun; the samples of a step are dealt to them "
        "(default: one for each GPU that the queue gave, or one)",
    )
    parser.add_argument(
        "--nodes", type=int, default=1, metavar="N", help="nodes of the job of SLURM, joined by srun (default: 1)"
    )


@contextmanager
def met(threads: int) -> Iterator[bool]:
    """Meets the other processes of the job, where there are some; yields whether this is the first.

    Args:
        threads: CPU threads of each.
    """
    if not is_one_of_several():
        yield True
        return
    libraries.prepare(threads=threads)
    from suture.training import processes  # not before: it imports torch

    processes.join()
    try:
        yield processes.is_first()
    except SutureError:
        if not processes.is_first():
            # What the first one refuses too is said once: it ends, and with it the job, before this one speaks.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(_HEARD)
        raise
    processes.leave()


def start(*, nodes: int, processes: int | None) -> int | None:
    """Starts the command that is running once for each process of a job.

    On one node its processes are torchrun's, and this one waits for them and
    hands on SIGTERM. Over several nodes they are srun's, in whose place this
    one steps: the job must be a batch step (in Snakemake: ``mpi: srun``).

    Args:
        nodes: of the job.
        processes: on each node; None: one for each GPU that the queue gave, or one.

    Returns:
        The exit code that is the job's; None: this is one of the processes, or the only one, and does the work.

    Raises:
        InputError: several nodes without srun, or within a step that has one of them.
    """
    if is_one_of_several():
        return None
    if os.environ.get(STARTED) == "srun":
        _adopt()
        return None
    on_each = processes or max(1, visible_gpus())
    if nodes == 1 and on_each == 1:
        return None
    # By the clock on the wall: the others may be on other nodes.
    os.environ[_BEGAN] = str(time.time())
    if nodes > 1:
        _become_srun(nodes, on_each)
    return _torchrun(on_each)


def _become_srun(nodes: int, on_each: int) -> None:
    if shutil.which("srun") is None:
        raise InputError(f"--nodes {nodes} is for jobs of SLURM, and there is no srun here", fix="--nodes 1")
    if "SLURM_STEP_ID" in os.environ:
        raise InputError(
            f"--nodes {nodes}, but this runs in a step that has one task of one node",
            fix="give the rule `mpi: srun` beside `nodes` in profiles/slurm",
        )
    cores = max(1, len(os.sched_getaffinity(0)) // on_each)
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes * on_each}", f"--ntasks-per-node={on_each}"]
    # One that fails ends the others: they would wait for it. A step does not take over the job's cores by itself.
    command += ["--kill-on-bad-exit=1", f"--cpus-per-task={cores}", "--cpu-bind=none", sys.executable, *sys.argv]
    os.environ[STARTED] = "srun"
    sys.stdout.flush()
    os.execvp("srun", command)


def _adopt() -> None:
    """Takes rank, number of processes and meeting place from SLURM's variables."""
    from submitit.helpers import TorchDistributedEnvironment

    os.environ.setdefault("SUBMITIT_EXECUTOR", "slurm")  # it asks for it where a job is not one of its own
    found = TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    os.environ["MASTER_ADDR"] = address(found.master_addr)


def address(node: str) -> str:
    """Returns the name or number under which a node can be reached: its own name, or what SLURM calls its address.

    Raises:
        SutureError: neither is known here.
    """
    for name in (node, _node_address(node)):
        try:
            if name:
                socket.getaddrinfo(name, None)
                return name
        except socket.gaierror:
            continue
    raise SutureError(f"the node {node} cannot be found in the network", fix="its NodeAddr in slurm.conf")


def _node_address(node: str) -> str:
    shown = subprocess.run(["scontrol", "show", "node", node], capture_output=True, text=True, check=False).stdout
    return next((word.partition("=")[2] for word in shown.split() if word.startswith("NodeAddr=")), "")


def _torchrun(processes: int) -> int:
    import psutil
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    def hand_on(number: int, frame: FrameType | None) -> None:
        for child in psutil.Process().children():
            child.send_signal(number)

    # Its own way with SIGTERM is to kill the processes after a while, in the middle of a save.
    signal.signal(signal.SIGTERM, hand_on)
    # Each process says itself why it fails; torchrun's account of it is a page for every exit code but 0.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # Equal sums need an equal number of threads; the command sets it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    words = ["--standalone", f"--nproc-per-node={processes}", "--signals-to-handle=SIGINT,SIGHUP,SIGQUIT"]
    torchrun: Any = run  # it has no types
    asked = torchrun.parse_args([*words, f"--shutdown-timeout={GRACE}", sys.argv[0]])
    # Not through its parser, which would take some of our flags for short forms of its own: --r for --role.
    asked.training_script_args = sys.argv[1:]
    try:
        torchrun.run(asked)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            ended = f"process {rank} of {processes} was ended by {signal.Signals(-failure.exitcode).name}"
            fix = "SIGKILL is mostly memory: ask for more (mem_mb), or for fewer processes"
            print(SutureError(ended, fix=fix), file=sys.stderr, flush=True)
            return 1
        return int(failure.exitcode)
    return 0
