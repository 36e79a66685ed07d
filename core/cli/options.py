"""Options that several commands share, and the parsers of their texts."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from core import specs
from core.amount import RATIO_PLACES, Amount, Ratio
from core.cli.printing.console import messages
from core.errors import UserError, echo
from core.models.shape import MOST_UNCOVERED
from core.notation.chain import StageRequest, exact_amount, parse
from core.registry import get_stage
from core.request.execution import SHARE, VARIABLE, parse_memory
from core.request.resolve import parse_seed
from core.request.stages import check_agrees
from core.shipping.formats import FORMATS
from core.specs import ZERO_SHOT, Fewshot, Perplexity, ScanUnit, Task, TextWindows, parse_precision


def names(text: str, option: str) -> tuple[str, ...]:
    """Return the distinct parts of a comma list, which may be quoted; raise `UserError` if there are none."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    try:
        parts = tuple(dict.fromkeys(part.strip() for row in rows for part in row if part.strip()))
    except csv.Error as error:
        raise UserError(f"{option} {text[:20]!r}... cannot be read as a comma list: {error}.") from None
    if not parts:
        raise UserError(f"{option} {echo(text)} is empty; give one or several, separated by commas.")
    return parts


def parse_tasks(text: str) -> list[Task]:
    """Return the tasks of a comma list."""
    return [Task.parse(part) for part in names(text, "Tasks")]


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of a single stage (see `methods`); may be repeated."),
]
Layers = Annotated[
    str | None,
    typer.Option(metavar="FIRST:LAST|REGEX", help="Compress only these blocks, or the linears whose names match."),
]
CalibrationOption = Annotated[
    TextWindows | None,
    typer.Option(
        "--calibration",
        metavar="CORPUS:NxL",
        parser=TextWindows.parse,
        help="Calibration data of all stages: N sequences of L tokens, such as c4-sample:16x2048, or from a text file, "
        "notes.txt:4x256.",
    ),
]
PerplexityOption = Annotated[
    list[Perplexity] | None,
    typer.Option(
        "--perplexity",
        metavar="CORPUS@WINDOW[:N[:spread]]",
        parser=Perplexity.parse,
        help="Measure perplexity on the first N windows, or on N windows spread over the text; default: all windows. "
        "Examples: wikitext2@2048:16, or for a text file, notes.txt@256:4. May be repeated.",
    ),
]
TasksOption = Annotated[
    list | None,  # type: ignore[type-arg]  # of Task, but typer would repeat an option of type `list[Task]`
    typer.Option(
        "--tasks",
        metavar="T[:LIMIT],...",
        parser=parse_tasks,
        help="Tasks, each with its own limit of documents; zero-shot without --fewshot.",
    ),
]
FewshotOption = Annotated[
    list[Fewshot] | None,
    typer.Option(
        "--fewshot",
        metavar="K[,selector=S][,order=O][,template=T]",
        parser=Fewshot.parse,
        help="Put K few-shot examples before each question. "
        + "; ".join(f"{name}: {', '.join(values)}" for name, values in Fewshot.choices().items())
        + " (default: the first of each). May be repeated.",
    ),
]
TrainOption = Annotated[
    TextWindows | None,
    typer.Option(
        "--train",
        metavar="CORPUS:NxL",
        parser=TextWindows.parse,
        help="Training data: N examples of up to L tokens, such as c4-sample:512x256. "
        "The parameter held_out, 8 by default, sets the number of held-out examples.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Memory = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=parse_memory,
        help="Memory that the run may take, such as 6GB; a larger model streams from disk, block by block. Default: "
        f"{VARIABLE}, or {SHARE:.0%} of the free memory.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Threads to compute with. Default: one for each core, or those of a job."),
]
Partial = Annotated[
    bool,
    typer.Option(
        "--partial",
        help=f"Compress the linears of a model although over {MOST_UNCOVERED:.0%} of its block weights are in none.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="|".join(form.name for form in FORMATS),
        help=f"Format of the saved model; default: {FORMATS[0].name}.",
    ),
]
Type = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="T",
        help="Type of the saved weights; default: the most accurate. "
        + "; ".join(f"{', '.join(form.types)} ({form.name})" for form in FORMATS)
        + ".",
    ),
]
EvalDtype = Annotated[
    str | None,
    typer.Option("--eval-dtype", metavar="fp32|fp16|bf16", help="Evaluation precision of tasks; default: the model's."),
]
Fidelity = Annotated[
    bool,
    typer.Option(
        "--fidelity",
        help="Compare with the dense model, token by token, on the texts of --perplexity: KL divergence and agreement.",
    ),
]
Latency = Annotated[
    bool,
    typer.Option("--latency", help="Measure prefill and decode latency; quantised linears compute on their codes."),
]
SensitivityOption = Annotated[
    ScanUnit | None,
    typer.Option(
        "--sensitivity",
        help="Measure layer sensitivity: compress one block or linear at a time and measure how much the loss rises.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of a model in a folder; default: the last part of its path."),
]
Force = Annotated[bool, typer.Option("--force", help="Compute stored results again.")]

LEAST_STEP = 0.001  # between the ratios of a sweep
RENAMED = {
    "scan": "sensitivity",
    "scoring": "eval-dtype",
    "kind": "ratio-kind",
}  # flags that stay hidden aliases for one release


def current_flag(name: str) -> str:
    """Return the current name of a command-line flag, given without dashes; note a deprecated one on stderr."""
    if name not in RENAMED:
        return name
    messages.print(f"--{name} is deprecated; use --{RENAMED[name]}.", markup=False)
    return RENAMED[name]


def parse_settings(settings: list[str] | None) -> dict[str, str]:
    """Return {name: value} for `name=value` texts."""
    parsed = {}
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise UserError(f"Parameter {echo(text)} is not NAME=VALUE, such as damping=0.1.")
        parsed[name.strip()] = value.strip()
    return parsed


def with_fewshot(tasks: list[Task] | None, fewshot: list[Fewshot] | None) -> list[Task]:
    """Return the tasks with each few-shot setting; raise `UserError` if there are no tasks."""
    if fewshot and not tasks:
        raise UserError("--fewshot needs tasks; add them with --tasks.")
    return [task.model_copy(update={"fewshot": prompt}) for prompt in fewshot or [ZERO_SHOT] for task in tasks or []]


def scoring_dtype(scoring: str | None, tasks: list[Task] | None) -> specs.Dtype | None:
    """Return the evaluation precision of tasks; raise `UserError` if it is unknown or there are no tasks."""
    if scoring is None:
        return None
    if not tasks:
        raise UserError("--eval-dtype needs tasks; add them with --tasks.")
    return parse_precision(scoring)


def long_form(
    chain: str, ratio: float | None, pattern: str | None, settings: dict[str, str], layers: str | None
) -> tuple[StageRequest, ...]:
    """Return the stages of a chain; the options describe its single stage.

    Raises:
        UserError: The chain has several stages, or already has the value of an option.
    """
    stages = parse(chain)
    if len(stages) > 1 and (settings or any(option is not None for option in (ratio, pattern, layers))):
        raise UserError(
            "--ratio, --pattern, --set and --layers need a single stage; write them into the chain, such as "
            "wanda@0.5,layers=0:19+adaprune."
        )
    stage = stages[-1]
    amount: Amount | None = None if ratio is None else Ratio(ratio)
    if pattern is not None:
        amount = exact_amount(get_stage(stage.name), pattern)
    twice = ["its amount"] if amount and (stage.open or stage.amount) else []
    twice += [name for name in settings if name in stage.settings] + ["its layers"] * bool(layers and stage.layers)
    if twice:
        raise UserError(f"{stage.name} has {twice[0]} both in the chain and as an option; remove one.")
    if amount and ratio is not None:  # of both options, the ratio may only repeat that of the pattern
        check_agrees(get_stage(stage.name), amount, ratio)
    if amount is None and not settings and layers is None:
        return stages
    return (
        replace(
            stage,
            written=None,
            amount=stage.amount if amount is None else amount,
            settings={**stage.settings, **settings},
            layers=stage.layers if layers is None else layers,
        ),
    )


def chains(methods: str | None, written: Sequence[str]) -> tuple[str, ...]:
    """Return the chains of a sweep: methods with an open amount, then the written chains."""
    named = () if methods is None else names(methods, "Methods")
    every = (*(f"{name}@" if get_stage(name).takes_amount else name for name in named), *written)
    if not every:
        raise UserError("A sweep needs --methods or --chain, such as --methods wanda or --chain wanda@+adaprune.")
    return tuple(dict.fromkeys(every))


def amounts(ratios: str | None, patterns: str | None) -> tuple[Amount, ...]:
    """Return the amounts of a sweep: ratios, then N:M, bits and factors."""
    shares = () if ratios is None else parse_ratios(ratios)
    others = () if patterns is None else names(patterns, "Patterns")
    return (*map(Ratio, shares), *map(Amount.parse_exact, others))


def parse_ratios(text: str) -> tuple[float, ...]:
    """Return the ratios in `first:last:step`, both ends included, or in a comma list."""
    if not re.fullmatch(r"\s*[\d.]+\s*(:\s*[\d.]+\s*:\s*[\d.]+\s*|(,\s*[\d.]+\s*)*)", text):
        raise _bad_ratios(text)
    try:
        numbers = [float(part) for part in re.split(r"[:,]", text)]
    except ValueError:
        raise _bad_ratios(text) from None
    if ":" in text:
        first, last, step = numbers
        if step < LEAST_STEP or last < first:
            raise _bad_ratios(text)
        _check_range(text, first, last)  # limits the list to a thousand ratios
        # Steps such as 0.1 are not exact: a last step that falls short by rounding still counts.
        numbers = [round(first + i * step, RATIO_PLACES) for i in range(math.floor((last - first) / step + 1e-6) + 1)]
    _check_range(text, *numbers)
    return tuple(dict.fromkeys(numbers))


def _check_range(text: str, *numbers: float) -> None:
    if not all(0 <= number < 1 for number in numbers):
        raise UserError(f"Ratios {echo(text)} reach outside [0, 1); give the share of weights to remove, such as 0.5.")


def _bad_ratios(text: str) -> UserError:
    return UserError(
        f"Ratios {echo(text)} are neither FIRST:LAST:STEP with STEP >= {LEAST_STEP:g}, such as 0.1:0.7:0.1, "
        "nor a list such as 0.3,0.5."
    )


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of a comma list."""
    return tuple(map(parse_seed, names(text, "Seeds")))
