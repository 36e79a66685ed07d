"""The field of the model to compress: from the catalogue, a folder or the hub."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from core.errors import UserError
from core.models.catalogue import BY_ID
from core.models.facts import load_shape
from core.models.kinds.folder import named_folder
from core.models.shape import ModelShape
from core.models.sources import identify
from dashboard.run.found import consent, describe_model
from dashboard.shared import local, texts
from dashboard.shared.binding import HELD
from dashboard.shared.form_errors import FormErrors
from dashboard.shared.terms import terms_input

KEY = "run_model"


class Model(NamedTuple):
    """The chosen model."""

    name: str
    shape: ModelShape | None  # None for an invalid model, one that waits for permission, or no language model
    reads_text: bool = True
    given: str | None = None  # the user's name of a folder
    partial: bool = False  # whether a model with many weights outside of linears may be compressed


def model_input(mistakes: FormErrors) -> Model:
    """Show the field that accepts a model of the catalogue, a folder or a hub id."""
    name = local.model_box(KEY)
    st.session_state.pop(texts.LONGEST, None)
    if card := BY_ID.get(name):
        gated = " Gated: accept its licence on the hub first." if card.gated else ""
        st.caption(
            f"{card.label}: {card.parameters / 1e6:,.0f} M parameters. Licence: {card.licence}.{gated} {card.note}"
        )
        terms_input(card, mistakes)
    if local.held_back(KEY, [named_folder(name)]):
        mistakes.waits = True
        return Model(name, None)
    given = _name_input(folder) if (folder := named_folder(name)) else None
    with mistakes.catch():
        if not name:
            raise UserError("No model is chosen; choose one, or type a folder or a hub id.")
        source = identify(name, given)
        shape = load_shape(source)
        if shape.convolutions:
            st.caption("This is not a language model: only the weights of its convolutions are measured.")
            return Model(name, None, reads_text=False, given=given)
        st.session_state[texts.LONGEST] = shape.max_window
        if name not in BY_ID:
            describe_model(source)
        return Model(name, shape, given=given, partial=consent(shape))
    return Model(name, None)


def _name_input(folder: Path) -> str | None:
    """Show the field that names the model of a folder."""
    return (
        st.text_input(
            "Name",
            key="run_name",
            placeholder=folder.name,
            help="Identifies the model in results and later runs; empty is the folder's name.",
            **HELD,
        )
        or None
    )
