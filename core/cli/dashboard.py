"""The command `dashboard`, which serves the pages."""

import errno
import os
import socket
import sys
from typing import Annotated

import typer

from core.base.errors import UserError
from core.base.paths import PROJECT
from core.cli.printing.console import messages
from core.jobs.queue import check_executor
from core.store.slots import VARIABLE

SERVER = PROJECT / "dashboard" / "server.py"  # Streamlit reads the configuration in its folder


def check_port(port: int) -> None:
    """Raise `UserError` if this program cannot listen on a port of this machine."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise UserError(f"Port {port} {reason}; give another one with --port, such as {port + 1}.") from None


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 8501,
    slots: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Jobs that run at once. Default: one for each GPU, or one."),
    ] = None,
) -> None:
    """Serve the dashboard on this machine until Ctrl+C."""
    if slots is not None:
        os.environ[VARIABLE] = str(slots)
    check_executor()
    check_port(port)
    messages.print(f"Slimscope is at http://127.0.0.1:{port} (Ctrl+C stops it)")
    # -P ignores a folder named core in the working directory.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "streamlit", "run", str(SERVER), "--server.port", str(port)])
