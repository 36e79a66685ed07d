"""Parts of the forms that start jobs: errors, the permission to read local files, and the fields of model and texts."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from core.base.errors import UserError
from core.base.paths import typed_path
from core.data.texts import BY_ID, CORPORA, called
from core.methods.fields import AUTO
from core.models.catalogue import MODELS
from core.models.kinds.folder import named_folder
from core.models.shape import ModelShape
from core.request.complete import identified_text
from core.request.stages import DEFAULT_EXAMPLE, DEFAULT_EXAMPLES, DEFAULT_MODEL, DEFAULT_WINDOW, DEFAULT_WINDOWS
from core.specs import TextWindows
from dashboard import data
from dashboard.shared.binding import HELD

READ = "run_read_paths"  # session key of the permitted paths


class FormErrors:
    """Whether the form has an error, or waits for a confirmation."""

    def __init__(self) -> None:
        self.found = False
        self.waits = False  # for the permission to read a file or folder

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Show a `UserError` under the last field."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    def add(self, sentence: str) -> None:
        """Show an error message under the last field."""
        self.found = True
        st.error(sentence)


def named_text(name: str) -> Path | None:
    """Return the text file whose path is the name of a corpus; None if it is no such path."""
    path = typed_path(name)
    return None if name in BY_ID or not os.path.isfile(path) else path.resolve()


def allow_typed(key: str) -> None:
    """Permit the paths of a changed field: the visitor typed them."""
    value = st.session_state[key] or []
    for name in [value] if isinstance(value, str) else value:
        allow(named_folder(name), named_text(name))


def allow(*paths: Path | None) -> None:
    """Permit paths to be read."""
    st.session_state.setdefault(READ, set()).update(str(path) for path in paths if path)


def held_back(key: str, paths: Sequence[Path | None]) -> bool:
    """Return whether a path of a field lacks permission; if so, show the button that grants it."""
    waiting = [path for path in paths if path and str(path) not in st.session_state.get(READ, ())]
    if not waiting:
        return False
    kind = "folder" if waiting[0].is_dir() else "file"
    st.info(f"The link names a {kind} on this machine. Press the button to let Slimscope read it.")
    st.text("\n".join(map(str, waiting)))
    st.button(f"Read this {kind}", key=f"{key}_read", on_click=allow, args=waiting)
    return True


def model_box(key: str) -> str:
    """Show the field of a model of the catalogue, a folder or a hub id; return its name, empty without one."""
    ids = [card.id for card in MODELS]
    name = st.selectbox(
        "Model",
        ids,
        index=ids.index(DEFAULT_MODEL),
        key=key,
        accept_new_options=True,
        help="Choose one, or type the folder of a Hugging Face model or a hub id such as org/name.",
        on_change=allow_typed,
        args=(key,),
        **HELD,
    )
    return name or ""


class Purpose(NamedTuple):
    """The use of a text, with the labels and defaults of its fields; `key` begins their keys."""

    key: str
    label: str
    unit: str
    windows: int
    window: int
    help: str


CALIBRATION = Purpose(
    "run_calibration",
    "Calibrate on",
    "Sequences",
    DEFAULT_WINDOWS,
    DEFAULT_WINDOW,
    "Text for the statistics of the methods; you can type the path of a text file.",
)
TRAINING = Purpose(
    "run_train",
    "Train on",
    "Examples",
    DEFAULT_EXAMPLES,
    DEFAULT_EXAMPLE,
    "Text or instructions for fine-tuning; you can type the path of a text, JSON or JSONL file.",
)
LONGEST = "run_longest"  # session key of the model's context length in tokens


def window_input(label: str, key: str, usual: int, help: str = "") -> int:
    """Show the field of a length in tokens; empty is the usual length, or the model's longest if that is shorter."""
    auto = usual_window(usual)
    value = st.number_input(
        label,
        2,
        131072,
        None,
        key=key,
        placeholder=f"{AUTO} ({auto})",
        help=f"Empty is {usual}, or the model's longest{help}.",
        **HELD,
    )
    return auto if value is None else value


def usual_window(usual: int) -> int:
    """Return the usual length in tokens, limited to the model's context length."""
    return min(usual, int(st.session_state.get(LONGEST, usual)))


def text_input(purpose: Purpose, shape: ModelShape | None, mistakes: FormErrors) -> TextWindows:
    """Show the fields of a corpus and its amount, and errors for the model's `shape` if it is known."""
    names = [corpus.id for corpus in CORPORA if not corpus.held_out]
    key = f"{purpose.key}_corpus"
    with st.container(horizontal=True):
        st.selectbox(
            purpose.label,
            names,
            index=names.index(data.corpora_here()[1]),
            format_func=called,
            key=key,
            accept_new_options=True,
            help=purpose.help,
            on_change=allow_typed,
            args=(key,),
            **HELD,
        )
        st.number_input(purpose.unit, 1, 1_000_000, purpose.windows, key=f"{purpose.key}_windows", **HELD)
        window_input("Tokens per sequence", f"{purpose.key}_window", purpose.window)
    wanted = selected_text(purpose)
    if held_back(purpose.key, [named_text(wanted.corpus)]):
        mistakes.waits = True
    elif shape:
        with mistakes.catch():
            identified_text(wanted, shape)
    return wanted


def selected_text(purpose: Purpose) -> TextWindows:
    """Return the text of the form, even before its fields are shown."""
    state = st.session_state
    return TextWindows(
        corpus=state.get(f"{purpose.key}_corpus", data.corpora_here()[1]) or "",
        windows=state.get(f"{purpose.key}_windows", purpose.windows),
        window=state.get(f"{purpose.key}_window") or usual_window(purpose.window),
    )
