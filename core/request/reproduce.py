"""The command that reproduces a stored variant and its numbers."""

import shlex
from collections.abc import Iterable, Sequence

from core.base.errors import UserError
from core.metrics import FIDELITY
from core.notation.chain import common_defaults, format_chain, parse, run_command
from core.request.resolve import resolve_chain
from core.request.stages import variant_spec
from core.results import SENSITIVITY, Result
from core.specs import DTYPES, ZERO_SHOT, Dtype, Fewshot, Task, precision_name


def reproduce(result: Result) -> str:
    """Return the `slimscope run` lines that reproduce a result: its variant and all its numbers.

    Each combination of evaluation precision and set of tasks needs a line of its own. Raises `UserError` if this
    version computes another variant from the chain.
    """
    variant = variant_spec(result.variant)
    chain = format_chain(variant.stages)
    again = variant.model_copy(update={"stages": resolve_chain(parse(chain), common_defaults(variant.stages))})
    if again.key != result.variant.key:
        raise UserError(f"This version computes another variant from its chain, {chain}.")
    words = run_command(variant, result.variant)
    tasks: dict[tuple[Dtype, Fewshot], dict[str, None]] = {}  # by precision and prompt
    for row in result.measurements:
        if row.of_text:
            words += ["--perplexity", str(row.text)]
        elif row.metric.startswith("acc"):
            dtype = next((known for known in DTYPES if known == row.protocol.get("dtype")), variant.dtype)
            shots = Fewshot.from_protocol(row.protocol.get("fewshot"))
            tasks.setdefault((dtype, shots), {})[str(Task(task=row.dataset, limit=row.protocol.get("limit")))] = None
    if any(row.metric == "prefill" for row in result.measurements):
        words.append("--latency")
    if any(row.metric in FIDELITY for row in result.measurements):
        words.append("--fidelity")
    scans = {row.protocol["by"] for row in result.measurements if row.metric == SENSITIVITY}
    words += [f"--sensitivity={by}" for by in sorted(scans)]
    alike: dict[tuple[Dtype, tuple[str, ...]], list[Fewshot]] = {}  # the prompts of the same tasks
    for (dtype, shots), named in tasks.items():
        alike.setdefault((dtype, tuple(named)), []).append(shots)
    lines = [_task_options(*group, shots, variant.dtype) for group, shots in alike.items()] or [[]]
    return "\n".join(shlex.join([*words, *line]) for line in lines)


def _task_options(dtype: Dtype, tasks: Iterable[str], prompts: Sequence[Fewshot], computed: Dtype) -> list[str]:
    """Return the options that evaluate tasks in a precision with each of the few-shot prompts."""
    words = ["--tasks", ",".join(tasks)]
    if list(prompts) != [ZERO_SHOT]:
        words += [word for shots in prompts for word in ("--fewshot", str(shots))]
    return words if dtype == computed else [*words, "--eval-dtype", precision_name(dtype)]
