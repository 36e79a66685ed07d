"""The terms of a model that is fetched only once they are agreed to: their text, and the answer."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from core.errors import UserError
from core.models import terms
from core.models.catalogue import BY_ID, ModelCard
from core.models.packed import Terms
from core.models.sources import awaited_terms, identify
from dashboard.panels.form_errors import FormErrors


def show_download_hint(model: str) -> None:
    """Say how a model that is not here, and waits for an answer to its terms, gets here."""
    if awaited_terms(model) is None:
        return
    st.caption(
        f"{BY_ID[model].label} is not on this machine. What is shown was measured before; to run more of it, choose it "
        f"on the Run page, or use `slimscope fetch {model}`."
    )


def terms_input(card: ModelCard, mistakes: FormErrors) -> None:
    """Say where a model that is not here comes from, and let its terms be read and answered; nothing of another."""
    wanted, file = card.terms, card.packed
    if wanted is None or file is None or identify(card.id).folder:
        return
    size, agreed = f"{file.size / 1e6:.0f} MB", terms.answer(card.id)
    if agreed:
        st.caption(f"You agreed to the {wanted.name}; the first run fetches the model ({size}).")
        return
    mistakes.found = True
    if agreed is False:
        st.info(
            f"You said no to the {wanted.name}, so this model cannot be run here. What was measured of it is on "
            f"Explore. `slimscope fetch {card.id} --accept-terms` says yes to them."
        )
        return
    st.info(
        f"This model is not on this machine yet. It is fetched ({size}) when you agree to the {wanted.name}; what "
        "was measured of it is on Explore without that."
    )
    if st.button("Read the terms", key="terms_read", icon=":material/gavel:"):
        st.dialog(wanted.name, width="large")(_ask)(card, wanted)


def _ask(card: ModelCard, wanted: Terms) -> None:
    try:
        with st.spinner("Fetching the terms ..."):
            text = terms.terms_text(wanted)
    except UserError as error:
        st.error(str(error))
        return
    st.caption(f"{card.label} is under these terms, which are also at {wanted.url}.")
    with st.container(height=400):
        st.markdown(text)
    with st.container(horizontal=True):
        _answer(card, "I agree", True)
        _answer(card, "I do not agree", False)


def _answer(card: ModelCard, label: str, agreed: bool) -> None:
    kind: Literal["primary", "secondary"] = "primary" if agreed else "secondary"
    if st.button(label, key=f"terms_{agreed}", type=kind, on_click=terms.remember, args=(card.id, agreed)):
        st.rerun()  # which closes the dialog
