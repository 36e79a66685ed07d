"""The process of a search whose trials are made up: `python -P -m tests.kills.searcher JOB TOKEN`.

It is no fork, as a supervisor of several threads cannot be forked safely.
"""

import sys

from core.jobs import worker
from core.request.expected import estimate
from core.search import question, session
from core.search.autopilot import Autopilot
from tests.core.search.texts import CALIBRATION, JUDGE, TEXT
from tests.kills.worker import LEASE_SECONDS, slow_run

SEARCHER = (sys.executable, "-P", "-m", "tests.kills.searcher")
MADE_UP = (  # so that a search chooses the same trials, whatever the time
    (worker, "LEASE_SECONDS", LEASE_SECONDS),
    (session, "run_alone", slow_run),
    (question, "texts", lambda shape: (TEXT, JUDGE)),
    (question, "default_text", lambda *_: CALIBRATION),
    (estimate, "START_SECONDS", 0.1),
    (Autopilot, "trial_seconds", lambda *_: 0.1),
)

if __name__ == "__main__":
    for place, name, value in MADE_UP:
        setattr(place, name, value)
    sys.exit(session.main(*sys.argv[1:]))
