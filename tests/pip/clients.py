"""Real pip and uv, installing from an agent into a folder of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.clients.run import Result, client_environment
from tests.clients.setup import python
from tests.cluster.agent import Agent

CLIENTS = ("pip26", "pip23", "uv")
_CLIENT_S = 120


def install(
    agent: Agent,
    client: str,
    *requirements: str,
    target: Path | None = None,
    cache: bool = True,
    options: tuple[str, ...] = (),
    **extra: str,
) -> Result:
    """Installs from this agent's index, on its node, with the client's own cache in the agent's
    home."""
    target = target or agent.home / f"site-{client}"
    env = index_environment(agent, client) | extra
    if client == "uv":
        uv = python("uv").parent / "uv"
        command = [str(uv), "pip", "install", "--target", str(target), *options]
        command += ["--python", str(python("pip26")), *([] if cache else ["--no-cache"])]
    else:
        command = [str(python(client)), "-m", "pip", "install", "--target", str(target), *options]
        command += ["--upgrade", "--disable-pip-version-check", "--retries", "0", "--timeout", "60"]
        command += [] if cache else ["--no-cache-dir"]
    return subprocess.run(
        [*command, *requirements],
        env=env,
        capture_output=True,
        text=True,
        timeout=_CLIENT_S,
        stdin=subprocess.DEVNULL,
        cwd=agent.home,
    )


def index_environment(agent: Agent, client: str) -> dict[str, str]:
    """What `roost env` prints on this node, and nothing else that pip or uv look at."""
    index = f"{agent.endpoint_url}/pip/simple/"
    env = client_environment(agent.home, PIP_CONFIG_FILE="/dev/null", UV_NO_CONFIG="1")
    if client == "uv":
        return env | {"UV_DEFAULT_INDEX": index, "UV_CACHE_DIR": str(agent.home / ".cache/uv")}
    return env | {
        "PIP_INDEX_URL": index,
        "PIP_TRUSTED_HOST": "127.0.0.1",
        "PIP_CACHE_DIR": str(agent.home / ".cache/pip"),
    }


def installed(agent: Agent, client: str, module: str) -> str | None:
    """The version that the last install put there."""
    file = agent.home / f"site-{client}" / module / "__init__.py"
    return file.read_text().partition('"')[2].partition('"')[0] if file.exists() else None
