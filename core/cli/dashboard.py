"""The command that opens the pages: `dashboard`."""

import os
import sys
from typing import Annotated

import typer

from core.cli.console import messages
from core.paths import PROJECT

SERVER = PROJECT / "dashboard" / "server.py"  # Streamlit reads the configuration beside it


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of 127.0.0.1 to listen on.")] = 8501,
) -> None:
    """Serve the dashboard on this machine, until Ctrl+C."""
    messages.print(f"Slimscope is at http://127.0.0.1:{port} (Ctrl+C stops it)")
    # -P: a folder called core where the command is given is no package of ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "streamlit", "run", str(SERVER), "--server.port", str(port)])
