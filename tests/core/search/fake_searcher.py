"""The process of a search whose trials are made up: `python -m tests.core.search.fake_searcher ID TOKEN`."""

import sys
import time

from core.request.expected import estimate
from core.search import question, session
from tests.core.search.texts import CALIBRATION, JUDGE, TEXT, played_run

STEPS, STEP_SECONDS = 10, 0.05


def run(spec, store, progress):
    for done in range(STEPS):
        progress("prune", done, STEPS)
        time.sleep(STEP_SECONDS)
    return played_run(spec, store)


if __name__ == "__main__":
    estimate.START_SECONDS = 0.1
    question.texts = lambda shape: (TEXT, JUDGE)
    question.default_text = lambda *_: CALIBRATION
    session.run_alone = run
    sys.exit(session.main(*sys.argv[1:]))
