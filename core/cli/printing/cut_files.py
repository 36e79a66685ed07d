"""A mapped file that is cut while it is read: one sentence, where the system would say only "Bus error"."""

import ctypes
import os
import signal
from threading import Lock

from core.cli.printing.console import messages
from core.cli.printing.failures import FAILED
from core.jobs.processes import describe_exit

_once = Lock()  # several threads may read the file


def _explain(number: int) -> None:
    _once.acquire()
    messages.show_cursor()
    messages.print(f"The command {describe_exit(-number)}. Restore it, and the same command resumes.", markup=False)
    os._exit(FAILED)


HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)(_explain)  # must outlive its use by C


def explain_cut_files() -> None:
    """From now on, end the process with one sentence if a mapped file has lost the page that is read.

    Python calls its own signal handlers between two instructions, so never after a read that cannot end.
    """
    ctypes.CDLL(None).signal(signal.SIGBUS, HANDLER)
