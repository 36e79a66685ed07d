"""The command that makes a stored variant and its numbers again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from core.chain import default_flags, format_chain, parse, shared
from core.errors import UserError
from core.models.sources import typed_name
from core.request.resolve import resolve_chain
from core.request.stages import variant_spec
from core.results import SENSITIVITY, Result
from core.specs import DTYPES, ZERO_SHOT, Dtype, Fewshot, Perplexity, Task, precision_name


def reproduce(result: Result) -> str:
    """Return the `slimscope run` line for a result: variant, perplexities, tasks, latency.

    Tasks that were scored in several precisions, or others of them after demonstrations, give a line each.

    Raises `UserError` with the reason where this version has no command that makes the same variant.
    """
    variant = variant_spec(result.variant)
    chain, beside = format_chain(variant.stages), shared(variant.stages)
    again = variant.model_copy(update={"stages": resolve_chain(parse(chain), beside)})
    if again.key != result.variant.key:
        raise UserError(f"Its chain, {chain}, makes another variant today.")
    words = ["slimscope", "run", typed_name(variant.model_id), chain, *default_flags(beside)]
    if variant.dtype != "float32":
        words += ["--dtype", variant.dtype]
    tasks: dict[tuple[Dtype, Fewshot], dict[str, None]] = {}  # by how they were scored
    for row in result.measurements:
        if row.of_text:
            text = {name: row.protocol[name] for name in ("window", "windows", "spread") if name in row.protocol}
            words += ["--perplexity", str(Perplexity(corpus=row.dataset, **text))]
        elif row.metric.startswith("acc"):
            dtype = next((known for known in DTYPES if known == row.protocol.get("dtype")), variant.dtype)
            shots = Fewshot.from_protocol(row.protocol.get("fewshot"))
            tasks.setdefault((dtype, shots), {})[str(Task(task=row.dataset, limit=row.protocol.get("limit")))] = None
    if any(row.metric == "prefill" for row in result.measurements):
        words.append("--latency")
    scans = {row.protocol["by"] for row in result.measurements if row.metric == SENSITIVITY}
    words += [f"--sensitivity={by}" for by in sorted(scans)]
    alike: dict[tuple[Dtype, tuple[str, ...]], list[Fewshot]] = {}  # what the same tasks were scored after
    for (dtype, shots), named in tasks.items():
        alike.setdefault((dtype, tuple(named)), []).append(shots)
    scorings = [_scoring(*what, shots, variant.dtype) for what, shots in alike.items()] or [[]]
    return "\n".join(shlex.join([*words, *scoring]) for scoring in scorings)


def _scoring(dtype: Dtype, tasks: Iterable[str], prompts: Sequence[Fewshot], computed: Dtype) -> list[str]:
    """Return the options that have tasks scored in a precision, after each of some demonstrations."""
    words = ["--tasks", ",".join(tasks)]
    if list(prompts) != [ZERO_SHOT]:
        words += [word for shots in prompts for word in ("--fewshot", str(shots))]
    return words if dtype == computed else [*words, "--eval-dtype", precision_name(dtype)]
