"""An agent that is stuck ends, so that clients find its port closed; one that stood still goes
on."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from typing import Callable

import pytest

from tests.cluster.endpoint import ask, connect
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until

STUCK_S = 10
STANDS_STILL_S = STUCK_S + 2
_PAGE_BYTES = 4096


def fill(pipe: int) -> None:
    """Until a write would wait, by a description of our own: the agent's still waits."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while os.write(own, b"\n"):
            pass
    except BlockingIOError:
        pass
    finally:
        os.close(own)


def test_agent_that_is_stuck_ends_with_a_word() -> None:
    """Its log goes to a pipe that nobody reads: with the next line, here of a peer that comes, its
    main thread waits for ever."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PAGE_BYTES)
    cluster = Cluster(2)
    stuck, peer = cluster
    try:
        stuck.start(stdout=writer).wait_ready()
        fill(writer)
        peer.start()
        assert stuck.process is not None
        code = stuck.process.wait(STUCK_S + 20)
        assert code == 1 and "stuck" in stuck.log
        with pytest.raises(ConnectionRefusedError):
            connect(stuck)
    finally:
        cluster.remove()
        os.close(reader)
        os.close(writer)


def test_agent_that_stood_still_goes_on(clusters: Callable[..., Cluster]) -> None:
    (agent,) = clusters(1)
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + STANDS_STILL_S
    wait_until(lambda: time.monotonic() > until, STANDS_STILL_S + 5, "it stood still long enough")
    agent.process.send_signal(signal.SIGCONT)
    assert ask(agent.endpoint, "GET", "/livez").status == 200
    again = time.monotonic() + STUCK_S / 5
    wait_until(lambda: time.monotonic() > again, STUCK_S, "two more looks at it")
    assert agent.running
