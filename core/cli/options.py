"""Options that several commands share, and the parsers of their texts."""

import csv
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated

import typer
from typer.models import OptionInfo

from core import specs
from core.amount import RATIO_PLACES, Amount, Ratio
from core.base.errors import UserError, echo
from core.cli.printing.console import messages
from core.notation.chain import StageRequest, exact_amount, parse
from core.registry import get_stage
from core.request.execution import parse_memory
from core.request.resolve import parse_seed
from core.request.settings import DEFAULT_SETTINGS, RunSettings
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


def _setting(
    name: str,
    *flags: str,
    metavar: str | None = None,
    parser: Callable[[str], object] | None = None,
    min: int | None = None,
) -> OptionInfo:
    """Return the option of a setting, which its description explains."""
    words = RunSettings.model_fields[name].description
    option: OptionInfo = typer.Option(*flags, metavar=metavar, parser=parser, min=min, help=words)
    return option


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of a single stage (see `methods`); may be repeated."),
]
Layers = Annotated[
    str | None,
    typer.Option(metavar="FIRST:LAST|REGEX", help="Compress only these blocks, or the linears whose names match."),
]
PerplexityOption = Annotated[
    list[Perplexity] | None,
    _setting("perplexity", metavar="CORPUS@WINDOW[:N[:spread]]", parser=Perplexity.parse),
]
Device = Annotated[str, _setting("device")]
Dtype = Annotated[str, _setting("dtype")]
# The options of `RunSettings` by parameter, in the order of the help; few-shot examples become part of the tasks.
SETTINGS = {
    "name": Annotated[str | None, _setting("name", metavar="NAME")],
    "calibration": Annotated[
        TextWindows | None, _setting("calibration", metavar="CORPUS:NxL", parser=TextWindows.parse)
    ],
    "train": Annotated[TextWindows | None, _setting("train", metavar="CORPUS:NxL", parser=TextWindows.parse)],
    "perplexity": PerplexityOption,
    # A list of Task, but typer would repeat an option of type `list[Task]`.
    "tasks": Annotated[list | None, _setting("tasks", metavar="T[:LIMIT],...", parser=parse_tasks)],
    "fewshot": Annotated[
        list[Fewshot] | None,
        typer.Option(
            metavar="K[,selector=S][,order=O][,template=T]",
            parser=Fewshot.parse,
            help="Put K few-shot examples before each question. "
            + "; ".join(f"{name}: {', '.join(values)}" for name, values in Fewshot.choices().items())
            + " (default: the first of each). May be repeated.",
        ),
    ],
    "scoring": Annotated[str | None, _setting("scoring", "--eval-dtype", metavar="fp32|fp16|bf16")],
    "seed": Annotated[int, _setting("seed")],
    "device": Device,
    "dtype": Dtype,
    "memory": Annotated[int | None, _setting("memory", metavar="SIZE", parser=parse_memory)],
    "threads": Annotated[int | None, _setting("threads", min=1, metavar="N")],
    "partial": Annotated[bool, _setting("partial", "--partial")],
    "fidelity": Annotated[bool, _setting("fidelity", "--fidelity")],
    "latency": Annotated[bool, _setting("latency", "--latency")],
    "scan": Annotated[ScanUnit | None, _setting("scan", "--sensitivity")],
    "force": Annotated[bool, _setting("force", "--force")],
}
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


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some settings in place of its parameter `settings`; by default those of all."""
    defaults = dict(DEFAULT_SETTINGS) | {"perplexity": None, "tasks": None, "fewshot": None}
    own = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind)
        for name, kind in SETTINGS.items()
        if not names or name in names
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: object) -> None:
            build: Callable[..., RunSettings] = _run_settings  # typer has checked the arguments
            settings = build(**{one.name: given.pop(one.name) for one in own})
            command(**given, settings=settings)

        shown = signature(command)
        others, place = list(shown.parameters.values()), list(shown.parameters).index("settings")
        parameters = [*others[:place], *own, *others[place + 1 :]]
        run.__signature__ = shown.replace(parameters=parameters)  # type: ignore[attr-defined]  # typer reads it
        return run

    return decorate


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


def _run_settings(
    tasks: list[Task] | None = None, fewshot: list[Fewshot] | None = None, scoring: str | None = None, **others: object
) -> RunSettings:
    """Return the settings of some options; raise `UserError` for options of tasks without tasks."""
    prompted = with_fewshot(tasks, fewshot)
    given = others | {"tasks": prompted, "scoring": scoring_dtype(scoring, prompted)}
    return RunSettings.model_validate({name: value for name, value in given.items() if value is not None})


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
            places={},
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
