"""The private cluster of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_cluster import Cluster, Queue, missing


@pytest.fixture(scope="session")
def queue() -> Iterator[Queue]:
    """A private cluster with snakemake on it; stopped when the tests are over."""
    if absent := missing():
        pytest.skip(f"SLURM is not installed here ({', '.join(absent)}); .ci/run installs Debian's packages")
    cluster = Cluster()
    try:
        cluster.start()
        yield Queue(cluster)
    finally:
        cluster.stop()
