"""Local files and folders that a link names, read only with the visitor's permission; the field of a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.base.paths import typed_path
from core.data.texts import BY_ID
from core.models.catalogue import MODELS
from core.models.kinds.folder import named_folder
from core.request.stages import DEFAULT_MODEL
from dashboard.shared.binding import HELD

READ = "run_read_paths"  # session key of the permitted paths


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
