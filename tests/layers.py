#!/usr/bin/env python3
"""Dependencies point one way: protocol <- cache <- cluster <- node. Decision code stays free of I/O."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORDER = ["protocol", "cache", "cluster", "node"]
INCLUDE = re.compile(r'^#include [<"]([^>"]+)[>"]', re.M)
IO_HEADERS = ("boost/asio", "kj/", "capnp/", "curl/", "libtorrent/", "protocol/kj_", "protocol/rpc_link",
              "protocol/roost.capnp.h", "sys/socket.h", "fcntl.h", "unistd.h")


def sources(folder: str):
    return [p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".h", ".cc")]


def upward() -> list[str]:
    wrong = []
    for level, folder in enumerate(ORDER):
        higher = tuple(f"{name}/" for name in ORDER[level + 1:])
        for path in sources(folder):
            for header in INCLUDE.findall(path.read_text()):
                if higher and header.startswith(higher):
                    wrong.append(f"{path.relative_to(ROOT)} includes {header}, which is above it")
    return wrong


def decisions() -> list[str]:
    """The sources of the cluster_decisions library, as CMake lists them."""
    listing = (ROOT / "cluster/CMakeLists.txt").read_text()
    names = re.search(r"add_library\(cluster_decisions STATIC\s+([^)]*)\)", listing)
    if names is None:
        return ["cluster/CMakeLists.txt has no library cluster_decisions"]
    wrong = []
    for name in names.group(1).split():
        for path in (ROOT / "cluster" / name, (ROOT / "cluster" / name).with_suffix(".h")):
            if not path.exists():
                continue
            for header in INCLUDE.findall(path.read_text()):
                if header.startswith(IO_HEADERS):
                    wrong.append(f"{path.relative_to(ROOT)} decides, and includes {header}")
    return wrong


def main() -> int:
    wrong = upward() + decisions()
    for line in wrong:
        print(line)
    print(f"{len(wrong)} includes against the direction")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
