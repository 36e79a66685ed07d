"""Links to the Run page that measure a variant."""

from __future__ import annotations

import streamlit as st

from core.data.texts import called
from core.notation.chain import common_defaults, format_chain
from core.results import Variant
from core.specs import TextWindows
from dashboard import data
from dashboard.shared.links import CHAIN, Address
from dashboard.shared.texts import CALIBRATION, TRAINING, Purpose


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
    st.page_link("run/view.py", label=label, icon=":material/play_circle:", query_params=address)


def text_address(purpose: Purpose, text: TextWindows) -> Address:
    """Return the part of an address of the Run page that chooses a text."""
    key = purpose.key
    return {
        f"{key}_corpus": called(text.corpus),
        f"{key}_windows": str(text.windows),
        f"{key}_window": str(text.window),
    }
