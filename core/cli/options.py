"""Options that several commands share, and how their text is read."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from core import specs
from core.chain import StageRequest, parse
from core.cli.console import messages
from core.errors import UserError, echo
from core.registry import get_stage
from core.request.stages import RATIO_PLACES
from core.shipping.formats import FORMATS
from core.specs import WHOLE, ZERO_SHOT, Fewshot, Perplexity, ScanUnit, Task, TextWindows, parse_precision


def names(text: str, what: str) -> tuple[str, ...]:
    """Return the parts of a comma list, each once, one with a comma in double quotes; a `UserError` where none is."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    try:
        parts = tuple(dict.fromkeys(part.strip() for row in rows for part in row if part.strip()))
    except csv.Error as error:
        raise UserError(f"{what} {text[:20]!r}... cannot be read as a comma list: {error}.") from None
    if not parts:
        raise UserError(f"{what} {echo(text)} names nothing; give one or several, separated by commas.")
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
    typer.Option(metavar="FIRST:LAST|REGEX", help="Only these blocks, or linears whose name matches."),
]
CalibrationOption = Annotated[
    TextWindows | None,
    typer.Option(
        "--calibration",
        metavar="CORPUS:NxL",
        parser=TextWindows.parse,
        help="What all stages that read text calibrate on, N windows of L tokens, such as c4-sample:16x2048, or of a "
        "text file, notes.txt:4x256.",
    ),
]
PerplexityOption = Annotated[
    list[Perplexity] | None,
    typer.Option(
        "--perplexity",
        metavar="CORPUS@WINDOW[:N[:spread]]",
        parser=Perplexity.parse,
        help="Measure perplexity on the first N windows (all where N is left out), or on N spread over the text, such "
        "as wikitext2@2048:16, or of a text file, notes.txt@256:4; may be repeated.",
    ),
]
TasksOption = Annotated[
    list | None,  # of Task; with that said, typer would take the option to be one that is repeated
    typer.Option(
        "--tasks",
        metavar="T[:LIMIT],...",
        parser=parse_tasks,
        help="Tasks, each with its own limit of documents; zero-shot unless --fewshot says otherwise.",
    ),
]
FewshotOption = Annotated[
    list[Fewshot] | None,
    typer.Option(
        "--fewshot",
        metavar="K[,selector=S][,order=O][,template=T]",
        parser=Fewshot.parse,
        help="Score the tasks after K demonstrations, "
        + "; ".join(f"{name}: {', '.join(values)}" for name, values in Fewshot.choices().items())
        + " (the first by default); may be repeated.",
    ),
]
TrainOption = Annotated[
    TextWindows | None,
    typer.Option(
        "--train",
        metavar="CORPUS:NxL",
        parser=TextWindows.parse,
        help="What all stages that train do it on, N windows or instructions of L tokens, such as c4-sample:512x256. "
        "8 of them are held out, unless the parameter held_out says otherwise.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="|".join(form.name for form in FORMATS),
        help=f"What the model is saved in; {FORMATS[0].name} by default.",
    ),
]
Type = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="T",
        help="Of the saved weights, what loses least by default: "
        + "; ".join(f"{', '.join(form.types)} ({form.name})" for form in FORMATS)
        + ".",
    ),
]
EvalDtype = Annotated[
    str | None,
    typer.Option("--eval-dtype", metavar="fp32|fp16|bf16", help="Evaluation precision of tasks; default: the model's."),
]
Latency = Annotated[
    bool,
    typer.Option(
        "--latency", help="Measure the time to read a prompt and to decode; of codes of few bits as they are."
    ),
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
    typer.Option(metavar="NAME", help="What a model in a folder is called; the last part of its path by default."),
]
Force = Annotated[bool, typer.Option("--force", help="Compute again what is already stored.")]

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
    """Return {name: value} of `name=value` texts."""
    parsed = {}
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise UserError(f"Parameter {echo(text)} is not NAME=VALUE, such as damping=0.1.")
        parsed[name.strip()] = value.strip()
    return parsed


def with_fewshot(tasks: list[Task] | None, fewshot: list[Fewshot] | None) -> list[Task]:
    """Return the tasks after each number of demonstrations; a `UserError` where there are no tasks."""
    if fewshot and not tasks:
        raise UserError("--fewshot needs tasks; add them with --tasks.")
    return [task.model_copy(update={"fewshot": how}) for how in fewshot or [ZERO_SHOT] for task in tasks or []]


def scoring_dtype(scoring: str | None, tasks: list[Task] | None) -> specs.Dtype | None:
    """Return the dtype that tasks are scored in; a `UserError` for another word, or without tasks."""
    if scoring is None:
        return None
    if not tasks:
        raise UserError("--eval-dtype needs tasks; add them with --tasks.")
    return parse_precision(scoring)


def long_form(
    chain: str, ratio: float | None, pattern: str | None, settings: dict[str, str], layers: str | None
) -> tuple[StageRequest, ...]:
    """Return the stages of a chain, where it is a single one with what options say of it.

    Raises `UserError` where they say it of several, or again.
    """
    stages = parse(chain)
    options = {"ratio": ratio, "pattern": pattern, "settings": settings or None, "layers": layers}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if given and len(stages) > 1:
        raise UserError(
            "--ratio, --pattern, --set and --layers are for a single stage; write them into the chain, such as "
            "wanda@0.5,layers=0:19+adaprune."
        )
    (*_, stage) = stages
    amount = {"ratio", "pattern"} & given.keys()
    said = ["its amount"] if amount and (stage.open or stage.ratio is not None or stage.pattern) else []
    said += [name for name in settings if name in stage.settings] + ["its layers"] * bool(layers and stage.layers)
    if said:
        raise UserError(f"{stage.name} is given {said[0]} both in the chain and as an option; leave one out.")
    if settings:
        given["settings"] = {**stage.settings, **settings}
    return (*stages[:-1], replace(stage, written=None, **given)) if given else stages


def chains(methods: str | None, written: Sequence[str]) -> tuple[str, ...]:
    """Return the chains of a sweep: methods with their amount left open, and those that are written."""
    named = () if methods is None else names(methods, "Methods")
    found = (*(f"{name}@" if get_stage(name).takes_amount else name for name in named), *written)
    if not found:
        raise UserError("A sweep needs --methods or --chain, such as --methods wanda or --chain wanda@+adaprune.")
    return tuple(dict.fromkeys(found))


def parse_ratios(text: str) -> tuple[float, ...]:
    """Return the ratios of `first:last:step`, both ends included, or of a comma list."""
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
        _check_range(text, first, last)  # with it, and the least step, there are at most a thousand
        # Steps such as 0.1 are not exact: a last step that falls short by rounding still counts.
        numbers = [round(first + i * step, RATIO_PLACES) for i in range(math.floor((last - first) / step + 1e-6) + 1)]
    _check_range(text, *numbers)
    return tuple(dict.fromkeys(numbers))


def _check_range(text: str, *numbers: float) -> None:
    if not all(0 <= number < 1 for number in numbers):
        raise UserError(
            f"Ratios {echo(text)} reach outside [0, 1): a ratio is the share of weights removed, such as 0.5."
        )


def _bad_ratios(text: str) -> UserError:
    return UserError(
        f"Ratios {echo(text)} is neither FIRST:LAST:STEP with STEP >= {LEAST_STEP:g}, such as 0.1:0.7:0.1, "
        "nor a list such as 0.3,0.5."
    )


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of a comma list."""
    parts = names(text, "Seeds")
    for part in parts:
        if not re.fullmatch(WHOLE, part):
            raise UserError(f"Seed {echo(part)} is not a whole number from 0 on, of at most nine digits.")
    return tuple(int(part) for part in parts)
