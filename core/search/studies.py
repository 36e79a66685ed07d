"""Searches of earlier versions, in tables of Optuna, which SQL alone reads. Each comes into the store once.

SQLite has these tables in a file of the results folder, and PostgreSQL in a schema of the store's database.
"""

import json
import time
from collections import defaultdict
from functools import partial
from typing import TypeAlias

from sqlalchemy import URL, Connection, create_engine, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from core.base.errors import UserError
from core.base.paths import local_results_dir
from core.search.record import is_alive, read_states
from core.search.trials import Trial
from core.store.counters import SEARCHES, raise_counter
from core.store.database import shown
from core.store.store import Store
from core.store.tables import searches, trials

FILE, SCHEMA = "autopilot.db", "autopilot"
ATTRIBUTES = (
    "SELECT study_id, study_name, 0, key, value_json FROM {0}studies JOIN {0}study_user_attributes USING (study_id) "
    "UNION ALL SELECT study_id, study_name, trial_id, key, value_json FROM {0}studies "
    "JOIN {0}trials USING (study_id) JOIN {0}trial_user_attributes USING (trial_id) ORDER BY 1, 3"
)
STATED = ("question", "opening", "front", "ends", "judging", "certificate", "problem")  # as fields of `SearchState`
Studies: TypeAlias = dict[str, dict[int, dict[str, str]]]  # JSON by name, trial (0: of the study) and attribute


def import_studies(store: Store) -> None:
    """Copy the searches of earlier versions that the store lacks, and that do not run.

    Raises:
        UserError: They cannot be read; the store does not change.
    """
    file, local = local_results_dir().absolute() / FILE, store.url.get_backend_name() == "sqlite"
    if local and not file.is_file():
        return
    url = URL.create("sqlite", database=str(file)) if local else store.url
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            if not inspect(connection).has_table("studies", schema=None if local else SCHEMA):
                return
            schema = "" if local else f"{SCHEMA}."
            names = connection.scalars(text(f"SELECT study_name FROM {schema}studies")).all()
            with store.begin() as own:
                known = _known(own)
            found = {} if known.issuperset(names) else _read(connection, schema)
        if found:
            store.transact(partial(_write, found))
    except (SQLAlchemyError, ValueError, TypeError, KeyError, AttributeError) as error:
        place = f"The file {file}" if local else f"The schema {SCHEMA} of {shown(url)}"
        raise UserError(f"{place} of earlier searches is damaged; move it away to go on without them.") from error


def _known(connection: Connection) -> set[str]:
    return set(connection.scalars(select(searches.c.name)))


def _read(connection: Connection, schema: str) -> Studies:
    """Return the attributes of the searches that have begun, and of their trials."""
    found: Studies = defaultdict(lambda: defaultdict(dict))
    for _, name, trial, key, value in connection.execute(text(ATTRIBUTES.format(schema))):
        found[name][trial][key] = value
    return {name: study for name, study in found.items() if "question" in study[0]}


def _write(found: Studies, connection: Connection) -> None:
    """Insert the searches that the store lacks and that do not run, and check that they can be read."""
    raise_counter(connection, SEARCHES)  # first, so that no other process inserts them meanwhile
    known = _known(connection)
    for place, (name, attributes) in enumerate(found.items()):
        study, *each = ({key: json.loads(value) for key, value in one.items()} for one in attributes.values())
        if name in known or is_alive(study["handle"], time.time() - study["heard"]):
            continue
        stated = {field: study[field] for field in STATED if study.get(field) is not None}
        stated["judgement_seconds"] = study.get("judgement", 0.0)
        cut_off = max(0.0, study["heard"] - study["since"]) if study["since"] else 0.0  # seconds of killed trials
        values = {"created": place, "seconds": study["seconds"] + cut_off, "stop": study["stop"]}
        connection.execute(insert(searches).values(name=name, state=json.dumps(stated), **values))
        for number, one in enumerate(one for one in each if "chain" in one):
            trial = Trial(chain=one["chain"], outcome=one.get("tried"), problem=one.get("problem", ""))
            connection.execute(insert(trials).values(search=name, number=number, trial=trial.model_dump_json()))
    read_states(connection)
