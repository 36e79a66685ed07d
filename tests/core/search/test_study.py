"""The study of a search beside the store, on each kind of database."""

import optuna
import pytest
from optuna.trial import create_trial
from sqlalchemy import inspect

from core.progress import silent
from core.search import study as studies
from core.search.question import Question, prepare
from core.search.session import conduct, states
from core.search.space import Restrictions
from core.search.study import SCHEMA, storage
from core.store.store import Store

QUESTION = Question(model="./wide", max_mb=0.1, minutes=0.05, restrictions=Restrictions(methods=("rtn",)))


def test_studies_have_tables_of_their_own(database):
    store = Store()
    study = optuna.create_study(storage=storage(store.url), study_name="one")
    study.add_trial(create_trial(value=0.5, user_attrs={"chain": "rtn@4bit"}))
    again = optuna.load_study(study_name="one", storage=storage(store.url))
    assert [trial.user_attrs["chain"] for trial in again.get_trials()] == ["rtn@4bit"]
    own = set(inspect(store.engine).get_table_names())
    assert "trials" not in own and "alembic_version" in own
    if database == "postgresql":
        assert "trials" in inspect(store.engine).get_table_names(schema=SCHEMA)
    Store()  # its migrations find their own version


@pytest.mark.usefixtures("tiny_texts")
def test_a_search_runs_on_each_database(database):
    store, steps = Store(), []
    found = conduct(prepare(QUESTION, store), store, silent, steps.append)
    (state,) = states(store.url)
    assert steps and state.certificate == found and found.tried == len(steps)
    assert studies.study_name(QUESTION) == state.name
