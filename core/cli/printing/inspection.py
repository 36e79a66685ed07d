"""The description of a model for the command `inspect`."""

from collections.abc import Sequence
from itertools import groupby
from shlex import quote

from core.cli.printing.layout import Row
from core.request.inspection import Applicability


def families(suited: Sequence[Applicability]) -> list[Row]:
    """Return one row per family and reason, with the methods."""
    rows = []
    for family, members in groupby(suited, lambda one: one.family):
        by_reason: dict[str | None, list[str]] = {}
        for one in members:
            by_reason.setdefault(one.refusal, []).append(one.method)
        for reason, methods in by_reason.items():
            runs = "yes" if reason is None else f"no: {reason}"
            rows.append({"family": family, "methods": ", ".join(methods), "runs": runs})
    return rows


def sweep_command(model: str, chains: Sequence[str], dtype: str, partial: bool) -> str:
    """Return the command of a sweep over some chains."""
    options = [*(f"--chain {chain}" for chain in chains), *(["--partial"] if partial else [])]
    return f"slimscope sweep --models {quote(model)} --dtype {dtype} {' '.join(options)}"
