"""A small imitation of the Hugging Face hub for tests and for the demo. Python standard library
only.

    with Hub() as hub:
        commit = hub.add_repo("org/tiny", files={"config.json": b"{}"})
        run_client(HF_ENDPOINT=hub.url)
        assert hub.egress_bytes == 2

Content lives in `repos`, answers are made by `routes` and `cdn` without sockets, `wire` sends them
and applies `faults`, `ledger` counts what was sent.
"""

from tests.hub.server import Hub

__all__ = ["Hub"]
