"""The study of a search in Optuna, in tables of their own: Optuna and this project name a table alike."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from core.base.errors import UserError, how_to_install
from core.base.paths import local_results_dir
from core.specs import canonical_json, sha256

if TYPE_CHECKING:
    import optuna

    from core.search.question import Question
    from core.search.sampler import ChainSampler

SCHEMA = "autopilot"  # of PostgreSQL
FILE = "autopilot.db"  # of SQLite, in the folder of results
# Attributes of a study: the time of its ended trials, the start of those that run, what its searches state for other
# processes (when last), the wish of one of these that a search stops, the seconds after which its trials end, and
# whether it judges and how long that takes.
SECONDS, SINCE, QUESTION, FRONT, HANDLE, HEARD, CERTIFICATE, PROBLEM, STOP = (
    *("seconds", "since", "question", "front", "handle", "heard", "certificate", "problem", "stop"),
)
ENDS, JUDGING, JUDGEMENT, OPENING = "ends", "judging", "judgement", "opening"


def check_optuna() -> None:
    """Raise `UserError` without the extra that the autopilot needs."""
    if find_spec("optuna") is None:
        raise UserError(f"Optuna is not installed; run {how_to_install('autopilot')}.")


def open_study(question: Question, sampler: ChainSampler, url: URL) -> optuna.Study:
    """Return the study of a question, with the trials of an earlier search; those that were cut off count as failed.

    Args:
        question: The question, whose time may differ from that of the earlier search.
        sampler: Chooses the chains.
        url: The database of the store.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage(url), study_name=study_name(question), sampler=sampler, load_if_exists=True
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        with suppress(ValueError, RuntimeError):  # another process ended it
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def study_name(question: Question) -> str:
    """Return the name of a question's study, whatever its time."""
    asked = question.model_dump(exclude={"minutes"})
    if question.form:  # before, its size was packed
        asked["size"] = "file"
    return sha256(canonical_json(asked))[:16]


def storage(url: URL) -> optuna.storages.RDBStorage:
    """Return Optuna's storage beside the database of the store."""
    from optuna.storages import RDBStorage

    if url.get_backend_name() == "sqlite":
        return RDBStorage(f"sqlite:///{local_results_dir().absolute() / FILE}")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    engine.dispose()
    path = {"connect_args": {"options": f"-csearch_path={SCHEMA}"}, "pool_pre_ping": True}
    return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=path)
