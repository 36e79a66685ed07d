"""Import of results of other tools: preview of the files, then storage as series of the charts."""

from collections.abc import Hashable, Sequence

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.base.errors import UserError, counted
from core.data.texts import called
from core.findings.numbers.frame import tidy
from core.findings.rows.points import removed
from core.imports.files import read_imports, store_imports
from core.imports.harness import model_of
from core.imports.series import DEFAULT_LABEL, KINDS, ImportedVariant, ImportPreview, parse_series
from core.imports.sheet import COLUMNS
from core.imports.uploads import ENDINGS, MEGABYTE, SAMPLES_BYTES, TABLE_BYTES, Upload
from core.models.catalogue import MODELS
from dashboard import data
from dashboard.shared import links

ROUND, DONE = "run_imported", "run_imported_last"  # session keys: number of imports, and the rows of the last one
KIND_WORDS = {"sparsity": "Set to zero", "parameters": "Physically removed"}
LIMITS = f"At most {TABLE_BYTES // MEGABYTE} MB per file, and {SAMPLES_BYTES // MEGABYTE} MB of samples in total."


def show_imports() -> None:
    """Show the file field, the preview of the files and the button that stores them."""
    with st.expander("Import results", icon=":material/upload_file:"):
        st.markdown(
            "Results of other programs appear on every chart as own series, marked as imported. Choose a "
            "`results_*.json` of `lm_eval`, or a CSV. Paired differences also need the `samples_*.jsonl`."
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
    results = [upload for upload in uploads if upload.ending == ".json"]
    try:
        variant = _variant_input(results[0]) if results else None
        if results and variant is None:
            st.info("Choose the dense model of these results.")
            return
        found = _find(tuple(uploads), variant, data.store().url, data.store().stamp())
    except UserError as error:
        st.error("These files cannot be imported:")
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
        st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1  # empties the file field
        st.session_state[DONE] = _rows(found)
        st.rerun()


@st.cache_data(max_entries=1, ttl=600, show_spinner="Reading ...")
def _find(uploads: tuple[Upload, ...], variant: ImportedVariant | None, _url: URL, stamp: Hashable) -> ImportPreview:
    return read_imports(uploads, variant, data.store())


def _variant_input(results: Upload) -> ImportedVariant | None:
    """Show the fields that identify the variant of a results file; return None until a model is chosen."""
    ids = [card.id for card in MODELS]
    named = model_of(results)
    if named and named not in ids:
        ids = [named, *ids]
    with st.container(horizontal=True):
        model = st.selectbox(
            "Dense model",
            ids,
            index=ids.index(named) if named else None,
            accept_new_options=True,
            placeholder="Choose a model",
            key="run_import_model",
            help="Id by which results are paired with those of the uncompressed model.",
        )
        label = st.text_input("Label", DEFAULT_LABEL, key="run_import_label")
        help = "Pruning ratio of the block weights or N:M; 0 for the dense model, empty if unknown."
        share = st.text_input("Amount", key="run_import_removed", placeholder="0.5, or 2:4", help=help).strip()
        kind = st.selectbox("Removed weights", KINDS, format_func=KIND_WORDS.__getitem__, key="run_import_kind")
    if not model:
        return None
    ratio, pattern = (None, share) if ":" in share else (share or None, None)
    return parse_series(model, label, ratio, pattern, kind)


def _rows(found: ImportPreview) -> pd.DataFrame:
    """Return the tidy rows of the files, with the display names of their models."""
    rows = tidy(found.results)
    return rows.assign(model=rows["key"].map({one.variant.key: data.called(one.variant) for one in found.results}))


def preview(found: ImportPreview) -> pd.DataFrame:
    """Return a table of the rows to store, one per number."""
    rows = _rows(found)
    paired = {(key, row.dataset, row.protocol_id) for key, row, _ in found.samples}
    places = zip(rows["key"], rows["dataset"], rows["protocol_id"], strict=True)
    return pd.DataFrame(
        {
            "Series": rows["series_label"],
            "Model": rows["model"],
            "Amount": [removed(row) for _, row in rows.iterrows()],
            "Measure": rows["metric"] + " " + rows["dataset"].map(called),
            "Value": rows["value"],
            "n": rows["n"].astype(int),
            "Protocol": rows["protocol"],
            "Answers": ["stored" if place in paired else "" for place in places],
        }
    )


def _show_last() -> None:
    """Show the summary of the last import with a link to it."""
    rows = st.session_state.get(DONE)
    if rows is None:
        return
    imported = f"{counted(len(rows), 'number')} of {counted(rows['key'].nunique(), 'variant')}"
    st.success(f"Imported: {imported}.", icon=":material/check_circle:")
    model = rows["model"].iloc[0]
    links.show_own(model, rows.loc[rows["model"] == model, "key"].unique())


def _show_columns() -> None:
    with st.popover("Show CSV columns", icon=":material/table:"):
        st.markdown("A CSV has a header and one row per number. Optional columns may be absent or empty.")
        rows = [(name, "yes" if column.needed else "", column.description) for name, column in COLUMNS.items()]
        st.dataframe(pd.DataFrame(rows, columns=["Column", "Required", "Content"]), hide_index=True)
