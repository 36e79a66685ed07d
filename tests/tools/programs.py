"""Run a program of `tools` in this process, as `python -m` does."""

import runpy
import sys
from unittest.mock import patch

from core.base.paths import PROJECT


def run_program(module: str, *arguments: object) -> int:
    """Run a program with command-line arguments and return its exit code.

    Raises:
        SystemExit: If the program ends with a message.
    """
    with patch.object(sys, "argv", [module, *map(str, arguments)]):
        try:
            runpy.run_path(str(PROJECT / f"{module.replace('.', '/')}.py"), run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                raise
            return end.code or 0
    return 0
