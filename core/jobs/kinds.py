"""Kinds of jobs, and the commands of their processes."""

import sys
from typing import Literal

Kind = Literal["run", "search", "trial"]
RUN: Kind = "run"  # of a chain; takes a slot
SEARCH: Kind = "search"  # of the autopilot; takes no slot, as its trials do
TRIAL: Kind = "trial"  # a run in the process of its search
# The job and its token follow.
WORKER = (sys.executable, "-P", "-m", "core.jobs.worker")
SEARCHER = (sys.executable, "-P", "-m", "core.search.session")
