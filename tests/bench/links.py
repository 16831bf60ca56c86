"""A network of namespaces whose links have limits: every node hangs on a bridge by a link of so
many bits a second, both ways. Needs root; goes away with everything in it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from tests.cluster.network import Namespace, Network, run_quietly

PLAIN, KEYED = "127.77.0", "10.99.0"
# A port's queue: what is sent at once, and for how long a packet waits before it is dropped.
_BURST, _LATENCY = "64kb", "50ms"


@dataclass(frozen=True)
class Line:
    """What each node's link can do. `frame_bytes`: its MTU. With frames of 1,500 bytes two cores are
    busy with frames alone before the links of sixteen nodes are full."""

    bits: int
    frame_bytes: int


class LimitedNetwork(Network):
    """Nodes of one IP network. Plain ones have addresses of 127.0.0.0/8 on their links: without a
    cluster key an agent talks to nobody else."""

    def __init__(self, keyed: bool, line: Line) -> None:
        super().__init__()
        self.line = line
        self.prefix = KEYED if keyed else PLAIN
        self._count = 0
        self._addresses: dict[str, str] = {}

    def add(self, name: str, bridge: str = "lan", slower: int = 1) -> Namespace:
        """`slower`: its link has so many times less."""
        node = self.node(name, {bridge: []})
        self._count += 1
        address = f"{self.prefix}.{self._count}"
        self._addresses[node.name] = address
        if self.prefix == PLAIN:
            self._let_loopback_out(node)
        run_quietly(
            *("ip", "-n", node.name, "address", "add", f"{address}/24"),
            *("dev", "eth0", "scope", "global"),
        )
        port = self._ports[(node.name, "eth0")]
        for where, interface in ((node.name, "eth0"), (self._switch, port)):
            self._prepare(where, interface, slower)
        return node

    def address(self, node: Namespace) -> str:
        return self._addresses[node.name]

    def unplug(self, node: Namespace) -> None:
        """Nothing goes to it or comes from it any more, and nobody is told."""
        port = self._ports[(node.name, "eth0")]
        run_quietly("ip", "-n", self._switch, "link", "set", port, "down")

    def join(self, left: str, right: str) -> None:
        """A link between two bridges: `crossed` counts what went over it."""
        for bridge in (left, right):
            self._add_bridge(bridge)
        ends = {f"to-{right}": left, f"to-{left}": right}
        first, second = ends
        run_quietly(
            *("ip", "-n", self._switch, "link", "add", first, "type", "veth"),
            *("peer", "name", second),
        )
        for end, bridge in ends.items():
            run_quietly("ip", "-n", self._switch, "link", "set", end, "master", bridge, "up")
            self._prepare(self._switch, end)

    def crossed(self, right: str) -> int:
        """Bytes that went over a joining link towards bridge `right`."""
        return _sent_bytes(self._switch, f"to-{right}")

    def sent(self, node: Namespace) -> int:
        """Bytes that left this node, with all headers."""
        return _sent_bytes(node.name, "eth0")

    def _prepare(self, namespace: str, interface: str, slower: int = 1) -> None:
        frame = str(self.line.frame_bytes)
        run_quietly("ip", "-n", namespace, "link", "set", interface, "mtu", frame)
        run_quietly(
            *("tc", "-n", namespace, "qdisc", "replace", "dev", interface, "root", "tbf"),
            *("rate", f"{self.line.bits // slower}bit", "burst", _BURST, "latency", _LATENCY),
        )

    @staticmethod
    def _let_loopback_out(node: Namespace) -> None:
        inside = ("ip", "netns", "exec", node.name)
        run_quietly(*inside, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
        run_quietly(*inside, "ip", "address", "delete", "127.0.0.1/8", "dev", "lo")
        run_quietly(*inside, "ip", "address", "add", "127.0.0.1/32", "dev", "lo")


def _sent_bytes(namespace: str, interface: str) -> int:
    done = subprocess.run(
        ["ip", "-n", namespace, "-s", "-j", "link", "show", "dev", interface],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(json.loads(done.stdout)[0]["stats64"]["tx"]["bytes"])
