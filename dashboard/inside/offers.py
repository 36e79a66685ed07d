"""Jobs that create chosen variants which are not in the cache, and links to the Run page that measure variants."""

from collections.abc import Sequence

import streamlit as st
from sqlalchemy import URL

from core.base.errors import UserError
from core.base.paths import cached_variant
from core.data.texts import called
from core.findings.numbers.reporting import listed
from core.notation.chain import common_defaults, format_chain
from core.notation.formatting import format_duration
from core.request.expected.estimate import estimate_left
from core.results import Variant
from core.specs import RunSpec, TextWindows, VariantSpec
from dashboard import data
from dashboard.shared import links
from dashboard.shared.job_form import CALIBRATION, TRAINING, Purpose
from dashboard.shared.links import CHAIN, Address
from dashboard.shared.literal import literal

CHECK_SECONDS = 2.0


def offer_jobs(missing: Sequence[VariantSpec], names: Sequence[str]) -> None:
    """Offer a job for each of these variants, or show that it is queued, until they are in the cache."""
    specs = [RunSpec(variant=variant, cached=True) for variant in missing]

    @st.fragment(run_every=CHECK_SECONDS)
    def renewed() -> None:
        active = [job.spec.variant.key for job in data.active_jobs()]
        if any(cached_variant(spec.variant.key).is_dir() for spec in specs):
            st.rerun()
        waiting = [spec for spec in specs if spec.variant.key not in active]
        several = len(specs) > 1
        text = f"{listed(list(names))} {'are' if several else 'is'} not in the cache, so "
        text += f"{'jobs create them' if several else 'a job creates it'} first."
        st.info(literal(text))
        with st.container(horizontal=True, vertical_alignment="center"):
            if waiting:
                try:
                    took = format_duration(_seconds(data.store().url, [one.variant.key for one in waiting], waiting))
                except UserError as error:
                    st.warning(literal(str(error)))
                    return
                what = f"Create {len(waiting)} variants" if len(waiting) > 1 else "Create the variant"
                title, icon = f"{what} ({took})", ":material/add_circle:"
                st.button(title, key="inside_create", icon=icon, on_click=_submit, args=(waiting,))
            else:
                st.caption(":material/hourglass_top: Queued or running.")
            links.show("run", "Show the jobs", "play_circle")

    renewed()


def _submit(specs: Sequence[RunSpec]) -> None:
    try:
        data.queue().submit_all(specs)
    except UserError as error:
        st.toast(literal(str(error)))


@st.cache_data(max_entries=32, show_spinner=False)
def _seconds(url: URL, keys: Sequence[str], _specs: Sequence[RunSpec]) -> float:
    """Return the estimated seconds of jobs."""
    return estimate_left(_specs, data.store()).seconds


def variant_address(variant: Variant) -> Address:
    """Return the address of the Run page with the chain, the data, the seed and the precision of a variant."""
    common = common_defaults(variant.stages)
    address: Address = {"run_model": data.model_to_run(data.called(variant)), CHAIN: format_chain(variant.stages)}
    for purpose, text in ((CALIBRATION, common.calibration), (TRAINING, common.train)):
        if text is not None:
            address |= text_address(purpose, text)
    if common.seed:
        address["run_seed"] = str(common.seed)
    return address if variant.dtype == "float32" else address | {"run_dtype": variant.dtype}


def link_to_run(label: str, address: Address) -> None:
    """Show a link to the Run page."""
    links.show("run", label, "play_circle", address)


def text_address(purpose: Purpose, text: TextWindows) -> Address:
    """Return the part of an address of the Run page that chooses a text."""
    key = purpose.key
    return {
        f"{key}_corpus": called(text.corpus),
        f"{key}_windows": str(text.windows),
        f"{key}_window": str(text.window),
    }
