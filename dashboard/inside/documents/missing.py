"""Variants without common answers: the reason, and links to the Run page that measure them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.data.cards import SEVEN, TASKS
from core.findings.inside.flips import answered
from core.results import Measurement, Result
from core.specs import DTYPES, ZERO_SHOT, Fewshot, precision_name
from dashboard import data
from dashboard.inside.documents.compared import Compared
from dashboard.inside.offers import link_to_run, variant_address
from dashboard.shared.links import Address
from dashboard.shared.literal import literal


def show_missing(keys: tuple[str, str], names: tuple[str, str], compared: Compared) -> None:
    """Show why a baseline and a variant share no answers, and offer to measure them.

    Args:
        keys: Keys of the baseline and the variant.
        names: Their names.
        compared: Their comparison, without a task.
    """
    there = data.results(keys)
    if len(there) < len(keys):
        return  # one was deleted
    baseline, variant = (there[key] for key in keys)
    known = [answered(one, data.store().samples) for one in (baseline, variant)]
    called_names = [literal(name) for name in names]
    without = [name for name, rows in zip(called_names, known, strict=True) if not rows]
    if without:
        verb = "have" if len(without) > 1 else "has"
        st.info(f"{' and '.join(without)} {verb} no stored answers to tasks with choices, which this tab compares.")
    elif compared.unpaired:
        st.info(literal(compared.unpaired[0]))
        return
    else:
        st.info(f"{' and '.join(called_names)} have no stored answers to a common task under the same protocol.")
    pairs = [(variant, names[1], known[0])] if known[0] else []
    if not known[0]:
        pairs = [(baseline, names[0], known[1]), *([] if known[1] else [(variant, names[1], known[0])])]
    for result, name, rows in pairs:
        if result.variant.is_external:
            st.caption(f"{literal(name)} was not measured by this project; import its answers on the Run page.")
        else:
            link_to_run(f"Measure {literal(name)}", measuring_address(result, rows))


def measuring_address(result: Result, wanted: Sequence[Measurement]) -> Address:
    """Return the address of the Run page that measures a variant on tasks.

    Args:
        result: The variant.
        wanted: Measurements of another variant under the protocol to repeat; without any, the papers' seven tasks.
    """
    variant, address = result.variant, variant_address(result.variant)
    zero_shot = [row for row in wanted if Fewshot.from_protocol(row.protocol.get("fewshot")) == ZERO_SHOT]
    if not zero_shot:
        return address | {"run_tasks": [TASKS[name].label for name in SEVEN]}
    limit, precision = (zero_shot[0].protocol.get(name) for name in ("limit", "dtype"))
    tasks = [row.dataset.partition("@")[0] for row in zero_shot if row.protocol.get("limit") == limit]
    address |= {"run_tasks": [TASKS[name].label for name in dict.fromkeys(tasks)], "run_limit": str(limit or 0)}
    if precision in DTYPES and precision != variant.dtype:
        address["run_scoring"] = precision_name(precision)
    return address
