"""Failures as one sentence and an exit code; the traceback of an unexpected one goes to a file.

A mapped file that is cut while it is read is one, too, where the system would say only "Bus error".
"""

import ctypes
import errno
import os
import signal
import traceback
from threading import Lock

from core.base.errors import MEMORY_RAN_OUT, UserError, out_of_memory
from core.base.paths import local_results_dir
from core.cli.printing.console import messages
from core.jobs.processes import describe_exit

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes
FULL = ("No space left on device", "disk is full", "Disk quota exceeded")
_once = Lock()  # several threads may read the file


def sentence(error: Exception) -> str:
    """Return the message for the exception that is being handled."""
    if isinstance(error, UserError):
        return str(error)
    if disk_full(error):
        return "The disk is full; free some space and run the command again."
    if out_of_memory(error):
        return MEMORY_RAN_OUT
    first = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"Unexpected error ({first}); {_store_traceback()}"


def disk_full(error: BaseException) -> bool:
    """Return whether an error or its cause means that the disk is full.

    Databases and native libraries raise their own errors for it.
    """
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(words in str(error) for words in FULL)
    return full or (error.__cause__ is not None and disk_full(error.__cause__))


def _store_traceback() -> str:
    file = local_results_dir() / "logs" / "error.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback.format_exc())
    except OSError as error:
        return f"its traceback could not be written to {file}: {error.strerror}."
    return f"the traceback is in {file}."


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
