"""The titles of jobs of all kinds, for pages and commands."""

from core.answers.question import QuestionRow
from core.base.errors import UserError
from core.jobs.kinds import QUESTION, SEARCH
from core.jobs.queue import Job
from core.jobs.worker import read_work
from core.notation.formatting import variant_name
from core.search.question import Question
from core.specs import RunSpec


def work_title(work: Job) -> str:
    """Return the title of a job, or why its row cannot be read."""
    try:
        if work.kind == SEARCH:
            return read_work(Question, work.text).title
        if work.kind == QUESTION:
            return read_work(QuestionRow, work.text).title
        variant = read_work(RunSpec, work.text).variant
    except UserError as error:
        return str(error)
    return variant_name(variant, variant.model)
