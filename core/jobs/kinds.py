"""Kinds of jobs, and the commands of their processes."""

import sys
from typing import Literal

Kind = Literal["run", "search", "trial", "question"]
RUN: Kind = "run"  # of a chain; takes a slot
SEARCH: Kind = "search"  # of the autopilot; takes no slot, as its trials do
TRIAL: Kind = "trial"  # a run in the process of its search
QUESTION: Kind = "question"  # to models, in the process of the answers
OWN: tuple[Kind, ...] = (TRIAL, QUESTION)  # of a process that does more than this job, which alone starts and ends it
# The job and its token follow.
WORKER = (sys.executable, "-P", "-m", "core.jobs.worker")
SEARCHER = (sys.executable, "-P", "-m", "core.search.session")
