"""Numbers that were measured elsewhere, from files to series on the charts: shown first, then kept."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.analysis.frame import tidy
from core.errors import UserError
from core.formatting import format_amount
from core.imports.files import read_imports, store_imports
from core.imports.harness import is_results, model_of
from core.imports.series import DEFAULT_LABEL, KINDS, ImportedVariant, ImportPreview, parse_series
from core.imports.sheet import COLUMNS
from core.imports.uploads import ENDINGS, MEGABYTE, SAMPLES_BYTES, TABLE_BYTES, Upload
from core.models.catalogue import MODELS
from dashboard import data
from dashboard.charts.points import removed

ROUND, DONE = "run_imported", "run_imported_last"  # in the session: how many imports were kept, and the last one
KIND_WORDS = {"sparsity": "zero", "parameters": "really gone"}
LIMITS = f"At most {TABLE_BYTES // MEGABYTE} MB a file, samples {SAMPLES_BYTES // MEGABYTE} MB together."


def show_imports() -> None:
    """Let files be chosen, show what they hold, and store it at the press of a button."""
    with st.expander("Import results", icon=":material/upload_file:"):
        st.markdown(
            "Numbers of other programs become series of their own on every chart, marked as imported: a "
            "`results_*.json` that `lm_eval` wrote, with its `samples_*.jsonl` where differences shall be paired, or "
            "a CSV."
        )
        files = st.file_uploader(
            "Files",
            type=[ending.removeprefix(".") for ending in ENDINGS],
            accept_multiple_files=True,
            max_upload_size=SAMPLES_BYTES // MEGABYTE,
            key=f"run_import_{st.session_state.get(ROUND, 0)}",
            help=LIMITS,
        )
        if files:
            _show([Upload(file.name, file.getvalue()) for file in files])
        else:
            _show_last()
            _show_columns()


def _show(uploads: Sequence[Upload]) -> None:
    results = [upload for upload in uploads if is_results(upload)]
    try:
        told = _told(results[0]) if results else None
        if results and told is None:
            st.info("Say which model it was made of.")
            return
        found = _find(tuple(uploads), told, data.store().url, data.store().stamp())
    except UserError as error:
        st.error("Nothing can be imported of these files:")
        st.text(str(error))
        return
    st.dataframe(preview(found), hide_index=True, column_config={"Value": st.column_config.NumberColumn(format="%.5g")})
    for sentence in found.left_out:
        st.text(sentence)
    if st.button("Import", type="primary", icon=":material/upload:", key="run_import_keep"):
        try:
            store_imports(found, data.store())
        except UserError as error:
            st.error("Nothing was imported:")
            st.text(str(error))
            return
        data.show_now()
        st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1  # an empty field for files
        st.session_state[DONE] = _rows(found)
        st.rerun()


@st.cache_data(max_entries=1, ttl=600, show_spinner="Reading ...")
def _find(uploads: tuple[Upload, ...], told: ImportedVariant | None, _url: URL, stamp: tuple) -> ImportPreview:
    return read_imports(uploads, told, data.store())


def _told(results: Upload) -> ImportedVariant | None:
    """Ask what the variant of a results file is, which that does not say; None while the model is not known."""
    ids = [card.id for card in MODELS]
    named = model_of(results)
    if named and named not in ids:
        ids = [named, *ids]
    with st.container(horizontal=True):
        model = st.selectbox(
            "Made of",
            ids,
            index=ids.index(named) if named else None,
            accept_new_options=True,
            placeholder="The model",
            key="run_import_model",
            help="The model as it was before. What is compared with it is found by this name.",
        )
        label = st.text_input("Called", DEFAULT_LABEL, key="run_import_label")
        share = st.text_input(
            "Removed",
            key="run_import_removed",
            placeholder="0.5, or 2:4",
            help="The share of the weights in the blocks, or an N:M pattern; 0 for the model as it is. Left empty "
            "where it is not known.",
        ).strip()
        kind = st.selectbox("Removed weights are", KINDS, format_func=KIND_WORDS.__getitem__, key="run_import_kind")
    if not model:
        return None
    ratio, pattern = (None, share) if ":" in share else (share or None, None)
    return parse_series(model, label, ratio, pattern, kind)


def _rows(found: ImportPreview) -> pd.DataFrame:
    """Return the tidy rows of what files hold, of models as they are called beside those that are stored."""
    rows = tidy(found.results)
    return rows.assign(model=rows["key"].map({one.variant.key: data.called(one.variant) for one in found.results}))


def preview(found: ImportPreview) -> pd.DataFrame:
    """Return a table of what would be stored, a row a number."""
    rows = _rows(found)
    paired = {(key, row.dataset, row.protocol_id) for key, row, _ in found.samples}
    places = zip(rows["key"], rows["dataset"], rows["protocol_id"], strict=True)
    return pd.DataFrame(
        {
            "Series": rows["label"],
            "Model": rows["model"],
            "Removed": [removed(row) for _, row in rows.iterrows()],
            "Number": rows["metric"] + " " + rows["dataset"],
            "Value": rows["value"],
            "n": rows["n"].astype(int),
            "Measured on": rows["protocol"],
            "Answers": ["kept" if place in paired else "" for place in places],
        }
    )


def _show_last() -> None:
    """Say what was imported last, and lead to it."""
    rows = st.session_state.get(DONE)
    if rows is None:
        return
    first = rows.iloc[0]
    st.success(f"Imported: {len(rows)} numbers of {rows['key'].nunique()} variants.", icon=":material/check_circle:")
    where = {"explore_model": first["model"]}
    if pd.notna(first["ratio"]) and first["ratio"] > 0:
        where["explore_at"] = format_amount(first["ratio"], first["pattern"])
    st.page_link("views/explore.py", label="See it on Explore", icon=":material/show_chart:", query_params=where)


def _show_columns() -> None:
    with st.popover("What a CSV has", icon=":material/table:"):
        st.markdown("A header, and a row a number. Columns that are not needed may be left out, or empty.")
        st.dataframe(
            pd.DataFrame(
                [(name, "yes" if column.needed else "", column.description) for name, column in COLUMNS.items()],
                columns=["Column", "Needed", "What is in it"],
            ),
            hide_index=True,
        )
