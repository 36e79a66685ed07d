"""Start of a Ray head on this machine, whose ports only this machine reaches unless the user names another address.

Whoever reaches these ports and has the token can run any code as this user.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from core.base.errors import UserError, how_to_install

NAMESPACE = "slimscope"  # of actors
PREFIX = "slimscope-"  # of an actor's name, before the token of its first attempt
PORT = 6379  # of Ray's head by default
WORKER_PORTS = range(10002, 20000)  # Ray's default for its workers
HERE = "127.0.0.1"
# Without clusters of several machines, Ray binds all its ports to 127.0.0.1. The name is historical.
CLOSED = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
SECURED = {"RAY_AUTH_MODE": "token"}  # of each process that speaks to Ray; the token is `RAY_AUTH_TOKEN`, or in a file
TOKEN = Path(".ray/auth_token")  # of Ray, in the home folder
TEMPORARY = Path("/tmp/ray")  # Ray's default
CURRENT = "ray_current_cluster"  # where Ray writes the address of this machine's cluster


def only_this_machine(address: str) -> bool:
    """Return whether an address, or that of this machine's cluster for `auto`, is on the loopback interface."""
    if address == "auto":
        try:
            address = (TEMPORARY / CURRENT).read_text().strip()
        except OSError:
            return False
    host = urlsplit(address if "//" in address else f"//{address}").hostname
    return host in (HERE, "localhost", "::1")


def start_head(host: str, port: int, cores: int | None) -> str:
    """Start a Ray head and return its address; a `UserError` if it does not start."""
    if port in WORKER_PORTS:
        span = f"{WORKER_PORTS[0]} to {WORKER_PORTS[-1]}"
        raise UserError(f"Port {port} is one of {span}, which Ray's workers use; give another one, such as {PORT}.")
    ray = Path(sys.executable).with_name("ray")
    if not ray.exists():
        raise UserError(missing_words())
    environment = os.environ | SECURED | (CLOSED if host == HERE else {})
    _call([str(ray), "get-auth-token", "--generate"], environment)
    with suppress(OSError):  # absent with `RAY_AUTH_TOKEN`; Ray lets other users read it
        (Path.home() / TOKEN).chmod(0o600)
    command = [str(ray), "start", "--head", f"--node-ip-address={host}", f"--port={port}"]
    command += [f"--temp-dir={TEMPORARY}"]
    command += ["--include-dashboard=false", "--disable-usage-stats"] + ([f"--num-cpus={cores}"] if cores else [])
    _call(command, environment)
    return f"{host}:{port}"


def _call(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"Ray did not start: {lines[-1] if lines else f'exit code {done.returncode}'}")


def missing_words() -> str:
    """Return the sentence on an installation without Ray."""
    return f"Ray is not installed; run {how_to_install('ray')}."
