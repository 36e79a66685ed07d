"""The form that saves a point for other programs."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.base.errors import UserError
from core.base.paths import typed_path
from core.models.sources import identify_again
from core.notation.chain import file_name
from core.request.complete import check_save_folder
from core.request.stages import variant_spec
from core.results import Result
from core.shipping.base import Format
from core.shipping.formats import FORMATS, find_format, size_of
from core.specs import RunSpec, precision_name
from dashboard import data


def offer_export(result: Result) -> None:
    """Show the form that queues the export of the variant for other programs."""
    variant = result.variant
    with st.popover("Save for other programs", icon=":material/save:"):
        name = st.segmented_control(
            "Format",
            [form.name for form in FORMATS],
            default=FORMATS[0].name,
            required=True,
            format_func=lambda name: find_format(name).label,
            key=f"explore_format_{variant.key[:8]}",
        )
        form = find_format(name)
        st.caption(form.purpose)
        try:
            source = identify_again(variant.model, variant.revision)
            form.check(variant, source)
        except UserError as error:
            st.warning(str(error))
            return
        # A key for each format and point, so that the inputs start from their defaults.
        own = f"{form.name}_{variant.key[:8]}"
        kind = st.selectbox(
            "Weights",
            list(form.types.values()),
            index=list(form.types.values()).index(form.default(variant)),
            format_func=lambda kind: size_of(result, source, form, kind),
            key=f"explore_precision_{own}",
            help=f"Sizes are on disk; the results on this page are of {precision_name(variant.dtype)}.",
        )
        proposed = Path.home() / f"{variant.model.replace('/', '-')}-{file_name(variant.stages)}-{variant.key[:8]}"
        folder = st.text_input("New folder on this machine", str(proposed), key=f"explore_folder_{own}")
        st.caption("The job recomputes the model if it is not cached, adds a model card and runs the export check.")
        # Not a callback, which would miss a value typed just before the click.
        if st.button("Save", type="primary", key="explore_save"):
            _queue_export(result, folder, form, kind, size_of(result, source, form, kind))


def _queue_export(result: Result, folder: str, form: Format, kind: str, size: str) -> None:
    try:
        target = typed_path(folder)
        if not folder or not target.is_absolute():
            raise UserError(f"Folder {folder!r} is not an absolute path; give one such as /home/me/model.")
        check_save_folder(target)
        variant = variant_spec(result.variant)
        data.queue().submit(RunSpec(variant=variant, save=str(target), format=form.name, precision=kind))
    except UserError as error:
        st.toast(str(error), icon=":material/error:")
        return
    st.toast(f"Queued; the Run page shows its progress. It writes {target}, {size}.")
