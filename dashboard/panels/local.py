"""Files and folders of this machine that a link names: nothing of them is read before the visitor wants it to be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.data.texts import BY_ID
from core.models.sources import named_folder
from core.paths import typed_path

READ = "run_read_paths"  # those that may be read, in the session


def named_text(name: str) -> Path | None:
    """Return the text file that a corpus' name is the path of, None where it is none."""
    path = typed_path(name)
    return None if name in BY_ID or not os.path.isfile(path) else path.resolve()


def allow_typed(key: str) -> None:
    """Note, when a field has changed, that the paths in it are to be read: they were typed."""
    value = st.session_state[key] or []
    for name in [value] if isinstance(value, str) else value:
        allow(named_folder(name), named_text(name))


def allow(*paths: Path | None) -> None:
    """Let paths be read from now on."""
    st.session_state.setdefault(READ, set()).update(str(path) for path in paths if path)


def held_back(key: str, paths: Sequence[Path | None]) -> bool:
    """Return whether any of the paths that a field names may not be read yet; if so show a button that changes it."""
    waiting = [path for path in paths if path and str(path) not in st.session_state.get(READ, ())]
    if not waiting:
        return False
    what = "folder" if waiting[0].is_dir() else "file"
    st.info(f"The link names a {what} of this machine. Nothing of it is read before you press the button.")
    st.text("\n".join(map(str, waiting)))
    st.button(f"Read this {what}", key=f"{key}_read", on_click=allow, args=waiting)
    return True
