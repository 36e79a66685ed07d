"""The process of a search that a page started: `python -m core.search.process QUESTION`, a question as JSON."""

import sys
from functools import partial

from core.base.progress import silent
from core.search.question import Question, prepare
from core.search.session import conduct
from core.store.store import Store


def main(question: str) -> None:
    """Search and judge; the study has the outcome."""
    store = Store()
    prepared = prepare(Question.model_validate_json(question), store)
    conduct(prepared, store, silent, partial(print, flush=True))


if __name__ == "__main__":
    main(sys.argv[1])
