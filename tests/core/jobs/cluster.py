"""A Ray cluster of several nodes on this machine, reachable from it only, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from core.jobs.cluster.start import CLOSED, SECURED
from tests.core.queues import kill_tree

SETTINGS = (
    CLOSED
    | SECURED
    | {
        "RAY_AUTH_TOKEN": "of-tests",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # after which nodes without a head end; else a minute
        # A killed machine receives actors until these checks have failed; by default for 15 seconds.
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_timeout_ms": "3000",
        "RAY_health_check_failure_threshold": "2",
    }
)


@contextmanager
def cluster(*cores: int, **environment: str) -> Iterator[Machines]:
    """Start a cluster whose head has no cores; each node has its number of `cores`."""
    with mock.patch.dict(os.environ, SETTINGS | environment):
        found = Machines()
        try:
            for count in cores:
                found.add(count)
            yield found
        finally:
            found.stop()


class Machines:
    """The head and the nodes of a cluster."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []  # of Ray's
        self.start_head()

    @property
    def address(self) -> str:
        return self.cluster.address

    def start_head(self, port: int | None = None) -> None:
        """Start a head, at a port of its own unless one is given."""
        from ray.cluster_utils import Cluster

        options = {"num_cpus": 0, "include_dashboard": False} | ({"gcs_server_port": port} if port else {})
        self.cluster = Cluster(initialize_head=True, head_node_args=options)

    def add(self, cores: int, **environment: str) -> None:
        """Add a node whose processes have these variables."""
        with mock.patch.dict(os.environ, environment):
            self.nodes.append(self.cluster.add_node(num_cpus=cores))

    def kill(self, node) -> None:
        """Kill a node with all its processes, by SIGKILL."""
        for process in node.all_processes.values():
            for one in process:
                kill_tree(one.process.pid)

    def kill_head(self) -> int:
        """Kill the head with all its processes, by SIGKILL, and return its port."""
        self.kill(self.cluster.head_node)
        return int(self.address.rpartition(":")[2])

    def stop(self) -> None:
        """End everything."""
        for node in [*self.nodes, self.cluster.head_node]:
            self.kill(node)
