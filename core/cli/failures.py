"""Any failure as one sentence. What nobody foresaw leaves its traceback in a file."""

import errno
import traceback

from core.errors import MEMORY_RAN_OUT, UserError, out_of_memory
from core.paths import local_results_dir

FULL = ("No space left on device", "disk is full", "Disk quota exceeded")


def sentence(error: Exception) -> str:
    """Return what to tell the user of the exception that is being handled."""
    if isinstance(error, UserError):
        return str(error)
    if disk_full(error):
        return "The disk is full; free some space and run the command again."
    if out_of_memory(error):
        return MEMORY_RAN_OUT
    first = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"Something unexpected went wrong ({first}); {_keep_traceback()}"


def disk_full(error: BaseException) -> bool:
    """Whether an error, or what it came from, means that the disk is full.

    Databases, and libraries in other languages, raise errors of their own for it.
    """
    told = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(words in str(error) for words in FULL)
    return told or (error.__cause__ is not None and disk_full(error.__cause__))


def _keep_traceback() -> str:
    file = local_results_dir() / "logs" / "error.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback.format_exc())
    except OSError as error:
        return f"its traceback could not be written to {file}: {error.strerror}."
    return f"the traceback is in {file}."
