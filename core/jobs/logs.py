"""Logs of jobs: a file on the machine that runs the job, and a copy in the shared storage."""

import os
from contextlib import suppress
from pathlib import Path

from core.base import paths
from core.base.errors import StorageError
from core.cache.storage import shared_storage

FOLDER = "logs"
TAIL_BYTES = 65536


def log_file(job_id: int) -> Path:
    """Return the log file of a job's process."""
    return paths.local_results_dir() / FOLDER / _name(job_id)


def share_log(job_id: int) -> None:
    """Copy a job's log to the shared storage, if there is one; a storage that fails must not end the job."""
    storage = shared_storage()
    if storage is not None and log_file(job_id).exists():
        with suppress(StorageError):
            storage.send(log_file(job_id), f"{FOLDER}/{_name(job_id)}")


def log_tail(job_id: int, lines: int) -> str:
    """Return the last lines of a job's log, as far as this machine or the storage has it; empty without a log."""
    storage = shared_storage()
    content = storage.tail(f"{FOLDER}/{_name(job_id)}", TAIL_BYTES) if storage else None
    if content is None:
        try:
            with open(log_file(job_id), "rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
                content = stream.read()
        except FileNotFoundError:
            return ""
    return "\n".join(content.decode(errors="replace").splitlines()[-lines:])


def with_last_line(words: str, job_id: int) -> str:
    """Return a sentence on a job's end, with the last line of its log."""
    last = log_tail(job_id, 1)
    return f"{words}; last output: {last}" if last else f"{words}."


def delete_log(job_id: int) -> None:
    """Delete a job's log; `OSError` if the file cannot be deleted."""
    log_file(job_id).unlink(missing_ok=True)
    if storage := shared_storage():
        storage.delete(f"{FOLDER}/{_name(job_id)}")


def _name(job_id: int) -> str:
    return f"job-{int(job_id)}.log"
