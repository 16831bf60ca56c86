"""What `load_dataset` and `map` of other nodes have made, brought here before this node looks for it.

    roost.bring_prepared("org/rows", "default")
    rows = load_dataset("org/rows", "default").map(tokenise)   # computes only what nobody has

It orders what `roost warm --type dataset-cache` orders, by that program: whoever may use the agent's
socket may do it.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from typing import Optional

from .cache import _agent_at

log = logging.getLogger("roost")

# As the hub names datasets and as configs are named; nothing else, and no option, gets to a command
# line.
_PATH = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_CONFIG = re.compile(r"[A-Za-z0-9_][\w.+@=-]*", re.ASCII)


def bring_prepared(
    path: str,
    name: Optional[str] = None,
    *,
    timeout_s: float = 600.0,
    program: str = "roost",
) -> bool:
    """Brings all that any node of the cluster has prepared of `path` (of its config `name` alone,
    if given), and says whether it lies here now. False if nobody has any or the agent cannot be
    asked: then `load_dataset` and `map` compute, as they would have.

    Takes at most 2 s if the agent is away (and none for 30 s after that), else `timeout_s`; what is
    not here by then goes on arriving in the background. Raises nothing. Threads: any."""
    config = [] if name is None else [name]
    if not _PATH.fullmatch(path) or not all(_CONFIG.fullmatch(one) for one in config):
        return False  # of local files: nothing that other nodes have
    found = shutil.which(program)
    if found is None or not _agent_at(None).is_there():
        return False
    command = [found, "warm", path, "--type", "dataset-cache", "--nodes", "self", "--quiet"]
    for one in config:
        command += ["--revision", one]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.info("what was prepared of %s did not arrive: %s", path, error)
        return False
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        log.info("what was prepared of %s did not arrive: %s", path, said)
    return done.returncode == 0
