"""Licence terms that a model's download requires: their text and the user's answer."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from core.base.errors import UserError
from core.models import terms
from core.models.catalogue import BY_ID, ModelCard
from core.models.packed import Terms
from core.models.sources import awaited_terms, identify
from dashboard.shared.form_errors import FormErrors


def show_download_hint(model: str) -> None:
    """Explain how to download a model whose terms are not accepted yet."""
    if awaited_terms(model) is None:
        return
    st.caption(
        f"{BY_ID[model].label} is not on this machine; this page shows stored results. To run it, choose it on the Run "
        f"page, or use `slimscope fetch {model}`."
    )


def terms_input(card: ModelCard, mistakes: FormErrors) -> None:
    """Show the terms of a model that this machine lacks, and the buttons that answer them."""
    wanted, file = card.terms, card.packed
    if wanted is None or file is None or identify(card.id).folder:
        return
    size, agreed = f"{file.size / 1e6:.0f} MB", terms.answer(card.id)
    if agreed:
        st.caption(f"You accepted the {wanted.name}; the first run downloads the model ({size}).")
        return
    mistakes.found = True
    if agreed is False:
        st.info(
            f"You rejected the {wanted.name}, so this machine cannot run the model. Explore shows its stored results. "
            f"`slimscope fetch {card.id} --accept-terms` accepts the terms."
        )
        return
    st.info(
        f"This model is not on this machine. To download it ({size}), accept the {wanted.name}. Explore shows its "
        "stored results in any case."
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
    st.caption(f"These terms apply to {card.label}; their source is {wanted.url}.")
    with st.container(height=400):
        st.markdown(text)
    with st.container(horizontal=True):
        _answer(card, "Accept the terms", True)
        _answer(card, "Reject the terms", False)


def _answer(card: ModelCard, label: str, agreed: bool) -> None:
    kind: Literal["primary", "secondary"] = "primary" if agreed else "secondary"
    if st.button(label, key=f"terms_{agreed}", type=kind, on_click=terms.remember, args=(card.id, agreed)):
        st.rerun()  # closes the dialog
