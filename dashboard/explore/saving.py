"""The way to a variant's file: the form that queues its export, with the data and the time that making it needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import streamlit as st

from core.base.errors import UserError
from core.base.paths import cached_variant, typed_path
from core.data.corpora import missing_file
from core.findings.cost import needs
from core.findings.files import Forms
from core.findings.numbers.reporting import listed
from core.models.sources import identify_again
from core.notation.chain import file_name
from core.request.complete import check_save_folder
from core.request.stages import variant_spec
from core.results import Result, Variant
from core.shipping.base import Format
from core.shipping.formats import FORMATS, file_sizes, find_format, size_of
from core.specs import RunSpec, precision_name
from dashboard import data
from dashboard.shared.binding import UNBOUND, segments
from dashboard.shared.documents import offer_files

Place = Literal["explore", "explore_best"]  # start of the keys: in the details, and below the headline


class Offer(NamedTuple):
    """A variant to write as a file."""

    result: Result
    forms: Forms = FORMATS  # of which the smallest file is chosen at first
    note: str = ""  # Markdown above the form


def offer_file(place: Place, find: Callable[[], Offer], plain: bool = False) -> None:
    """Show the button of the form that writes a variant as a file; an open form calls `find`.

    `plain` leaves out the frame of the button.
    """
    type: Literal["tertiary", "secondary"] = "tertiary" if plain else "secondary"
    icon = ":material/download:"
    button = st.popover("Get the file", type=type, icon=icon, on_change="rerun", key=f"{place}_saving")
    if button.open:
        with button:
            _show_form(place, *find())


def _show_form(place: Place, result: Result, forms: Forms, note: str) -> None:
    if note:
        st.markdown(note)
    variant, labels = result.variant, {form.label: form.name for form in forms}
    first = next((labels[one.format] for one in file_sizes(variant, result.counted) if one.format in labels), None)
    names, own = [form.name for form in FORMATS], variant.key[:8]
    key = f"{place}_format_{own}_{first}"
    form = find_format(
        segments("Format", names, key, "format", lambda name: find_format(name).label, UNBOUND, start=first)
    )
    st.caption(form.purpose)
    try:
        source = identify_again(variant.model, variant.revision)
        form.check(variant, source)
    except UserError as error:
        st.warning(str(error))
        return
    # A key for each format and point, so that the inputs start from their defaults.
    own = f"{form.name}_{own}"
    kind = st.selectbox(
        "Weights",
        list(form.types.values()),
        index=list(form.types.values()).index(form.default(variant)),
        format_func=lambda kind: size_of(result, source, form, kind),
        key=f"{place}_precision_{own}",
        help=f"Sizes are on disk; the results on this page are of {precision_name(variant.dtype)}.",
    )
    proposed = Path.home() / f"{variant.model.replace('/', '-')}-{file_name(variant.stages)}-{variant.key[:8]}"
    folder = st.text_input("New folder on this machine", str(proposed), key=f"{place}_folder_{own}")
    st.caption(f"{_making(variant)} It adds a model card and runs the export check.")
    if missing := _missing(variant):
        offer_files(listed([*missing]), [*missing.values()], f"{place}_fetch")
    # Not a callback, which would miss a value typed just before the click.
    if st.button("Save", type="primary", key=f"{place}_save"):
        _queue_export(result, folder, form, kind, size_of(result, source, form, kind))


def _making(variant: Variant) -> str:
    """Return the sentence on the work of the job."""
    if cached_variant(variant.key).is_dir():
        return "The model is cached, so the job only writes it."
    return f"The job makes the model again: {', '.join(needs(variant))}."


def _missing(variant: Variant) -> dict[str, str]:
    """Return the files of the texts that this machine lacks and the job reads, by the text."""
    if cached_variant(variant.key).is_dir():
        return {}
    texts = {stage.calibration.corpus for stage in variant.stages if stage.calibration}
    return {name: file for name in sorted(texts) if (file := missing_file(name))}


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
