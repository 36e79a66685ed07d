"""About page: what the project is, its tour, README, licences and glossary."""

import streamlit as st

from dashboard.about.texts import DECLARED, licences, readme
from dashboard.shared.glossary import show_glossary
from dashboard.shared.stories.tour import show_titles


def page() -> None:
    """Show the page."""
    st.title("About Slimscope", anchor=False)
    st.markdown(
        f"Version {DECLARED['Version']}. {DECLARED['Summary']} Choose a model, a method and an amount: Slimscope"
        " compresses the model on this machine and measures it. Stored results load at once. Slimscope measured the"
        " bundled results itself. Published numbers are labelled."
    )
    st.header("Tour", anchor=False)
    show_titles()
    for title, text in (("README", readme()), ("Licences", licences())):
        with st.expander(title):
            st.markdown(text)
    with st.expander("Glossary"):
        show_glossary()


page()
