"""What processes used of the machine: CPU seconds and memory, of running ones and of commands."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """`peak` is the most resident memory since the process began, in bytes."""

    cpu: float
    peak: int


def usage_of(pid: int) -> Usage:
    # The name in parentheses may hold spaces: fields are counted behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND, peak)


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a command, which must succeed; with its children's."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        process.stderr and process.stderr.close()
        if process.returncode is None:
            process.kill()
            process.wait()
    seconds = time.monotonic() - began
    assert process.returncode == 0, f"{' '.join(command)}: {said.decode(errors='replace')[-500:]}"
    return seconds, used.ru_utime + used.ru_stime


def available_bytes() -> int:
    """Memory that can be used without pushing anything out."""
    text = Path("/proc/meminfo").read_text()
    return int(text.partition("MemAvailable:")[2].split()[0]) * 1024
