"""Reading the documents of tasks, and the offer to fetch data that this machine lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.base.errors import UserError
from core.data import files
from core.findings.numbers.reporting import listed
from core.specs import Fewshot, Task

if TYPE_CHECKING:
    from core.evaluation.fewshot.read import ScoredTask


def missing_files(names: Iterable[str | None]) -> list[str]:
    """Return the data files that this machine lacks; None stands for a file that a task does not have."""
    return [name for name in names if name and files.find(name) is None]


def offer_files(name: str, missing: Sequence[str], key: str) -> None:
    """Show the button that fetches the files that this machine lacks; `name` is the text, or the task, in words."""
    sources = listed(list(dict.fromkeys(files.origin(name) for name in missing)))
    st.caption(f"The data of {name} are not on this machine. They come from {sources}.")
    if not st.button(f"Fetch {name}", key=key, icon=":material/download:"):
        return
    try:
        with st.spinner(f"Fetching {name} ..."):
            for name in missing:
                files.get(name)
    except UserError as error:
        st.warning(str(error))
        return
    st.rerun()


@st.cache_resource(max_entries=8, show_spinner=False)
def scored_task(dataset: str, limit: int | None, fewshot: str = "0") -> list[ScoredTask]:
    """Return the first `limit` documents of a task per subject, or all, and for few-shot prompts its pool of examples.

    `dataset` is the id of the task, and `fewshot` the prompt in the notation of `Fewshot`.
    """
    from core.evaluation.fewshot.read import load_scored_task

    return load_scored_task(Task(task=dataset, limit=limit, fewshot=Fewshot.parse(fewshot)))
