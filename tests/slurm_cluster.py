"""A real SLURM cluster in a folder of its own: munge, slurmctld and two nodes, all on this machine.

Run as:
    python tests/slurm_cluster.py snakemake --profile slurm        starts it, runs the command there, stops it

Needs Debian's slurmctld, slurmd, slurm-client, slurm-wlm-basic-plugins and munge; runs as root or not, without
systemd and cgroups. The nodes claim more memory and cores than there are, so that jobs may ask for what
profiles/slurm asks for; nobody counts what they use.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "munged", "munge")
NODES = ("n1", "n2")
# Daemons are in the administrator's folders, which are not on everyone's path.
PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"

# Two device files that are there on every machine stand for the GPUs: SLURM gives them out as it would real ones.
# OverTimeLimit: a job may take minutes longer than it asked for, since on a busy machine it begins minutes late.
# cred_expire: a job that SLURM puts back into the queue waits so long, instead of 2 minutes, before it may begin again.
# MinJobAge: squeue knows all that ended, however long the tests take.
# Memory is counted only for jobs that ask for it (`--acctg-freq=task=1`); files are limited as where jobs come from.
CONFIG = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/ended-jobs.txt
Epilog={folder}/epilog
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=0
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
PropagateResourceLimits=FSIZE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=5,sched_min_interval=0
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
EnforcePartLimits=ALL
MinJobAge=7200
KillWait=30
OverTimeLimit=5
SlurmdTimeout=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=16 RealMemory=130000 Gres=gpu:fake:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=16 RealMemory=130000 Gres=gpu:fake:2
PartitionName=cpu Nodes=ALL Default=YES MaxTime=240 PreemptMode=OFF
PartitionName=gpu Nodes=ALL MaxTime=720 PreemptMode=OFF
PartitionName=strict Nodes=ALL MaxTime=720 PreemptMode=OFF OverTimeLimit=0
PartitionName=requeued Nodes=ALL MaxTime=720 PreemptMode=REQUEUE
PartitionName=cancelled Nodes=ALL MaxTime=720 PreemptMode=CANCEL
PartitionName=urgent Nodes=ALL MaxTime=720 PreemptMode=OFF PriorityTier=10
"""

# Nothing outlives its job on a cluster with cgroups. Here a process whose parents have died would.
EPILOG = """\
#!/bin/sh
for environ in /proc/[0-9]*/environ; do
  process=${environ#/proc/}; process=${process%/environ}
  tr '\\0' '\\n' 2>/dev/null <"$environ" | grep -qx "SLURM_CONF=FOLDER/slurm.conf" || continue
  tr '\\0' '\\n' 2>/dev/null <"$environ" | grep -qx "SLURM_JOB_ID=$SLURM_JOB_ID" || continue
  tr '\\0' ' ' 2>/dev/null <"/proc/$process/cmdline" | grep -q python && kill -KILL "$process" 2>/dev/null
done
exit 0
"""

# The Snakemake inside a job takes SLURM_CONF from the environment of its srun; here is no other way to the cluster.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


def missing() -> list[str]:
    """The programs of SLURM and munge that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


# The literal command but for waiting: here jobs take seconds, and files are seen at once. Three at a time on 2 cores.
COMMAND = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--jobs", "3", "--latency-wait", "10"]
COMMAND += ["--slurm-init-seconds-before-status-checks", "6"]


class Cluster:
    """The cluster, from :meth:`start` to :meth:`stop`.

    Attributes:
        folder: everything of it; short, since sockets' paths are.
        env: environment in which SLURM's commands talk to it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.env = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{PATH}",
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Starts the daemons and waits until both nodes take jobs.

        Raises:
            RuntimeError: one of them did not come up; the text ends with its log.
        """
        self._configure()
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={self.folder / 'munge.key'}",
            f"--socket={self.folder / 'munge.socket'}", f"--pid-file={self.folder / 'munged.pid'}",
            f"--log-file={self.folder / 'munged.log'}", f"--seed-file={self.folder / 'munge.seed'}",
        )  # fmt: skip
        self._await("munged", (self.folder / "munge.socket").exists)
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self._await("slurmctld", lambda: self.run("sinfo", "-h", "-N", "-p", "cpu", "-o", "%t").split() == ["idle"] * 2)

    def start_controller(self) -> None:
        """Starts the controller, with what it has saved."""
        self._daemon("slurmctld", "-D", "-i")

    def start_node(self, node: str) -> None:
        """Starts a node's daemon."""
        self._daemon("slurmd", "-D", "-N", node, name=f"slurmd-{node}")

    def kill(self, daemon: str) -> None:
        """Kills a daemon by SIGKILL: ``slurmctld``, or ``slurmd-n1``, whose jobs run on."""
        self._daemons[daemon].kill()
        self._daemons.pop(daemon).wait()

    def crash(self, node: str) -> None:
        """Ends a node as a power cut does: its daemon, its jobs' processes and what watches over them."""
        self.kill(f"slurmd-{node}")
        for path in Path("/proc").glob("[0-9]*"):
            try:
                environ = (path / "environ").read_bytes().split(b"\0")
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                watched = Path(f"/proc/{parent}/comm").read_text().strip() == "slurmstepd"
            except (OSError, ValueError):
                continue  # gone meanwhile, or another user's
            if {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={self.env['SLURM_CONF']}".encode()} <= {*environ}:
                for process in [parent, int(path.name)] if watched else [int(path.name)]:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)

    def stop(self) -> None:
        """Ends all jobs and daemons; nothing stays behind."""
        if "slurmctld" in self._daemons:
            self.run("scancel", "--user", getpass.getuser())
            self.await_empty()
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(self._daemons.values()):
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder)

    def run(self, *command: str) -> str:
        """Runs one of SLURM's commands; returns what it printed, nothing where it failed."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else ""

    def await_empty(self, timeout: float = 40) -> None:
        """Waits until no job waits, runs or is being ended; not longer than ``timeout`` seconds."""
        until = time.monotonic() + timeout
        while self.run("squeue", "-h") and time.monotonic() < until:
            time.sleep(0.5)

    def jobs(self) -> list[dict[str, str]]:
        """The jobs that have ended, as SLURM wrote them down: JobId, Name, JobState, StartTime, EndTime and others."""
        path = self.folder / "ended-jobs.txt"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [dict(field.split("=", 1) for field in line.split(" ") if "=" in field) for line in lines]

    def log(self, name: str) -> str:
        """The last lines of a daemon's log."""
        paths = [self.folder / f"{name}.out", self.folder / f"{name}.log"]
        return "\n".join(line for path in paths if path.is_file() for line in path.read_text().splitlines()[-15:])

    def _configure(self) -> None:
        names = {"host": socket.gethostname().split(".")[0], "user": getpass.getuser(), "folder": self.folder}
        self._write("slurm.conf", CONFIG.format(**names, ports=_free_ports(3)))
        self._write("gres.conf", f"NodeName={','.join(NODES)} Name=gpu Type=fake File=/dev/null,/dev/zero\n")
        self._write("cgroup.conf", "CgroupAutomount=no\n")
        self._write("epilog", EPILOG.replace("FOLDER", str(self.folder)), mode=0o755)
        self._write("bin/srun", SRUN.format(folder=self.folder, srun=shutil.which("srun", path=PATH)), mode=0o755)
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o600)
        (self.folder / "state").mkdir()

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def _daemon(self, program: str, *arguments: str, name: str = "") -> None:
        name = name or program
        with (self.folder / f"{name}.out").open("wb") as out:
            self._daemons[name] = subprocess.Popen(
                [str(shutil.which(program, path=PATH)), *arguments],
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the one who started the cluster, who then stops it in order; killed, they end too.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not ready():
            ended = [one for one, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > until:
                raise RuntimeError(f"{', '.join(ended) or name} did not come up:\n{self.log((ended or [name])[0])}")
            time.sleep(0.1)


class Queue:
    """A cluster, and snakemake runs on it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @contextmanager
    def start(self, where: Path, *args: object, conda: Path | None = None) -> Iterator[subprocess.Popen[str]]:
        """Starts ``snakemake --profile slurm`` in a clone; ``conda`` is a folder for PATH with a conda in it.

        A test that fails meanwhile ends it, and all jobs.
        """
        path = self.cluster.env["PATH"]
        with subprocess.Popen(
            [*COMMAND, *map(str, args)],
            cwd=where,
            env=self.cluster.env | {"PATH": f"{conda}{os.pathsep}{path}" if conda else path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                self.cluster.run("scancel", "--user", getpass.getuser())
                raise

    def snakemake(
        self, where: Path, *args: object, conda: Path | None = None, code: int = 0, timeout: float = 1500
    ) -> str:
        """Runs it to its end and checks its exit code; returns all it printed."""
        with self.start(where, *args, conda=conda) as process:
            printed, _ = process.communicate(timeout=timeout)
        assert process.returncode == code, f"snakemake ended with {process.returncode}:\n{printed[-6000:]}"
        return printed

    def states(self, comment: str) -> dict[str, str]:
        """States of a rule's jobs by their ids, those that have ended too; Snakemake gives them the comment."""
        said = self.cluster.run("squeue", "-h", "-t", "all", "-o", "%i|%T|%k")
        rows = [line.split("|") for line in said.splitlines()]
        return {row[0]: row[1] for row in rows if row[2] == comment}

    def running(self, comment: str) -> list[str]:
        """Ids of the jobs that run for a rule."""
        return [job for job, state in self.states(comment).items() if state == "RUNNING"]


def wait_until(seen: Callable[[], Any], process: subprocess.Popen[str], timeout: float = 600) -> Any:
    """Waits for something, as long as snakemake runs; returns it."""
    until = time.monotonic() + timeout
    while not (found := seen()):
        assert process.poll() is None, f"the run ended too early:\n{process.communicate()[0][-6000:]}"
        assert time.monotonic() < until, "what the test waits for never came"
        time.sleep(0.1)
    return found


def _end_with_parent() -> None:
    # PR_SET_PDEATHSIG of linux/prctl.h. As suture.machine has it: this file is run alone, too.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens at; held together until all are found."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main(command: list[str]) -> int:
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    if absent := missing():
        print(f"not installed: {', '.join(absent)}", file=sys.stderr)
        return 2
    cluster = Cluster()
    try:
        cluster.start()
        return subprocess.run(command, env=cluster.env).returncode
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
