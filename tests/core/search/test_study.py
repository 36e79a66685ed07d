"""The study of a search beside the store, on each kind of database."""

import optuna
from optuna.trial import create_trial
from sqlalchemy import inspect

from core.search.study import SCHEMA, storage, study_name
from core.specs import canonical_json, sha256
from core.store.store import Store
from tests.core.search.texts import question


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


def test_a_question_has_one_study_whatever_its_time():
    names = [study_name(one) for one in (question(), question(minutes=9), question(max_mb=5))]
    assert names[0] == names[1] != names[2]


def test_a_search_for_files_does_not_resume_one_for_packed_sizes():
    asked = question(only="gguf")
    assert study_name(asked) != sha256(canonical_json(asked.model_dump(exclude={"minutes"})))[:16]
