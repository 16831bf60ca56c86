"""Nodes with addresses of their own: network namespaces on bridges. Needs root; cleans up after
itself.

with Network() as network:
    a = network.node("a", {"lan": ["10.99.0.1/24", "fd99::1/64"]})
    subprocess.run([*a.prefix, "ping", "-c1", "hub.test"])
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Self, Sequence


@dataclass(frozen=True)
class Namespace:
    """One node's network, for `ip -n NAME`. A command behind `prefix` runs in it, and is the process
    itself: signals reach it."""

    name: str
    prefix: tuple[str, ...]


class Network:
    """Bridges (by name) and nodes with one interface a bridge. `hosts` are names that every node
    knows."""

    def __init__(self, hosts: Mapping[str, Sequence[str]] | None = None) -> None:
        self._tag = f"rt{os.getpid() % 100000}"
        self._namespaces: list[str] = []
        self._bridges: set[str] = set()
        self._ports: dict[tuple[str, str], str] = {}  # of the switch, by namespace and interface
        self._folder = tempfile.TemporaryDirectory(prefix="roost-net-", dir="/tmp")
        self._hosts = Path(self._folder.name, "hosts")
        lines = [
            f"{address} {name}"
            for name, addresses in (hosts or {}).items()
            for address in addresses
        ]
        self._hosts.write_text("\n".join(["127.0.0.1 localhost", "::1 localhost", *lines, ""]))
        self._switch = ""

    def __enter__(self) -> Self:
        try:
            self._switch = self._add_namespace("switch")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in reversed(self._namespaces):
            # Its interfaces go along.
            subprocess.run(["ip", "netns", "delete", namespace], check=False)
        self._namespaces.clear()
        self._folder.cleanup()

    def node(self, name: str, interfaces: Mapping[str, Sequence[str]]) -> Namespace:
        """A node with an interface eth0, eth1 ... for each bridge, in order, with these
        addresses."""
        namespace = self._add_namespace(name)
        for number, (bridge, addresses) in enumerate(interfaces.items()):
            self._plug(namespace, f"eth{number}", bridge, addresses)
        # A mount namespace of its own shows the node our hosts file; exec keeps one process.
        hosts = f'mount --bind "{self._hosts}" /etc/hosts && exec "$@"'
        enter = (
            "nsenter",
            f"--net=/run/netns/{namespace}",
            "unshare",
            "--mount",
            "sh",
            "-c",
            hosts,
            "sh",
        )
        return Namespace(namespace, enter)

    def _add_namespace(self, name: str) -> str:
        namespace = f"{self._tag}-{name}"
        run_quietly("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        run_quietly("ip", "-n", namespace, "link", "set", "lo", "up")
        return namespace

    def _add_bridge(self, bridge: str) -> None:
        if bridge not in self._bridges:
            run_quietly("ip", "-n", self._switch, "link", "add", bridge, "type", "bridge")
            run_quietly("ip", "-n", self._switch, "link", "set", bridge, "up")
            self._bridges.add(bridge)

    def _plug(self, namespace: str, interface: str, bridge: str, addresses: Sequence[str]) -> None:
        self._add_bridge(bridge)
        port = f"port{len(self._ports)}"
        self._ports[(namespace, interface)] = port
        run_quietly(
            *("ip", "-n", self._switch, "link", "add", port, "type", "veth"),
            *("peer", "name", interface, "netns", namespace),
        )
        run_quietly("ip", "-n", self._switch, "link", "set", port, "master", bridge, "up")
        run_quietly("ip", "-n", namespace, "link", "set", interface, "up")
        for address in addresses:
            # Without duplicate detection an IPv6 address is usable at once.
            extra = ["nodad"] if ":" in address else []
            run_quietly("ip", "-n", namespace, "address", "add", address, "dev", interface, *extra)


def run_quietly(*command: str) -> None:
    """What it says is told only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
