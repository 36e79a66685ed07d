"""The command `best`: the best stored variant within a budget or at an amount, and the command that makes it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from core.amount import Amount
from core.base.errors import UserError
from core.cli.autopilot import SIZE, megabytes
from core.cli.naming import matching_name
from core.cli.printing.console import output
from core.cli.printing.tables import plain
from core.data.corpora import default_corpora
from core.notation.chain import run_command
from core.shipping.formats import find_format
from core.specs import Perplexity
from core.store.store import Store

if TYPE_CHECKING:
    from core.findings.question import BestFinding

# What a limit counts, and an example.
LIMITS = {
    "max_mb": ("packed_mb", "number of megabytes", 90),
    "max_ms": ("decode_ms", "number of milliseconds per token", 40),
    "max_times": ("times_dense", "multiple of the dense perplexity", 1.05),
}


def best(
    model: Annotated[str, typer.Argument(help="A model with results, or its folder.")],
    max_mb: Annotated[float | None, typer.Option(metavar="MB", parser=megabytes, help=SIZE)] = None,
    max_ms: Annotated[float | None, typer.Option(metavar="MS", help="The most ms per generated token.")] = None,
    max_times: Annotated[
        float | None, typer.Option(metavar="X", help="The highest perplexity, as a multiple of the dense model's.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Only variants at an amount: 0.5, 2:4, 4bit or 2x.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Only methods of a family, such as quantisation.")] = None,
    text: Annotated[
        Perplexity | None,
        typer.Option(
            metavar="CORPUS@WINDOW[:N[:spread]]",
            parser=Perplexity.parse,
            help="The text of the perplexities. Default: the one that most variants with accuracies have.",
        ),
    ] = None,
    no_training: Annotated[bool, typer.Option("--no-training", help="No stage that trains.")] = False,
    only: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="Only variants that fit this export format, such as gguf.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The answer and its variants as JSON.")] = False,
) -> None:
    """Name the best stored variant within a budget or at an amount, and the command that makes it."""
    store = Store()
    limits = {"max_mb": max_mb, "max_ms": max_ms, "max_times": max_times}
    found = ask(store, model, limits, at=at, family=family, text=text, training=not no_training, only=only)
    shown = store.get_many([key for key in (found.winner, found.untrained, _unmeasured(found)) if key])
    made = [one.variant for one in shown.values() if not one.variant.is_external]
    speed = ["--latency"] if found.winner is None else []
    commands = {one.key: shlex.join([*run_command(one, one), *speed]) for one in made}
    if json:
        rows = [plain(row) for row in found.rows.to_dict("records")]
        answer = {"sentence": found.sentence, "winner": found.winner, "untrained": found.untrained}
        typer.echo(dumps(answer | {"commands": commands, "variants": rows}, indent=2, ensure_ascii=False))
    else:
        output.print(found.sentence, markup=False)
        for sentence in _commands(found, commands, max_mb):
            output.print(sentence, markup=False, soft_wrap=True)
    if found.winner is None:
        raise typer.Exit(1)


def ask(
    store: Store,
    model: str,
    limits: Mapping[str, float | None],
    *,
    at: str | None = None,
    family: str | None = None,
    text: Perplexity | None = None,
    training: bool = True,
    only: str | None = None,
) -> BestFinding:
    """Return the answer to a `Question` from the stored results; `limits` are by the names of `LIMITS`.

    Raises:
        UserError: An argument is unknown or no number above 0, there is no limit and no amount, or the model has no
            such perplexity.
    """
    from core.findings.best.budget import Budget
    from core.findings.finding import StoreReader
    from core.findings.question import Question, answer

    given = {name: value for name, value in limits.items() if value is not None}
    for name, value in given.items():
        _, counted, example = LIMITS[name]
        if not 0 < value < math.inf:
            raise UserError(
                f"The highest {counted}, {value:g}, is not above 0 or not finite; give one such as {example:g}."
            )
    fields = {LIMITS[name][0]: value for name, value in given.items()}
    if only is not None and "packed_mb" in fields:
        fields["file_mb"] = fields.pop("packed_mb")
    form = None if only is None else find_format(only)
    amount = None if at is None else Amount.parse(at)
    names = store.model_names()
    name = matching_name(model, names)
    question = Question(name, Budget(**fields), amount, family, text, training, form)
    reader = StoreReader(store)
    return answer(question, reader.of_model(name, names), default_corpora()[0], reader)


def _unmeasured(found: BestFinding) -> str | None:
    """Return the key of the smallest variant whose speed may fit a limit that none does; None without one."""
    if found.winner is not None or found.question.budget.decode_ms is None:
        return None
    return found.unmeasured


def _commands(found: BestFinding, commands: Mapping[str, str], max_mb: float | None) -> Iterator[str]:
    """Yield the commands that make the best variants, and one that measures or searches another chain."""
    question = found.question
    for key, name in ((found.winner, "To make it"), (found.untrained, "To make the one without training")):
        if key is not None:
            yield f"\n{name}:\n{commands.get(key, 'It is imported, so no command makes it.')}"
    if found.estimate is not None:
        words = ["slimscope", "run", question.model, found.estimate.chain]
        for option in ("calibration", "train", "seed"):
            if (value := getattr(found.estimate, option)) is not None:
                words += [f"--{option}", str(value)]
        yield f"\nTo measure the estimated chain:\n{shlex.join(words)}"
    if (key := _unmeasured(found)) is not None and key in commands:
        yield f"\nTo measure the speed of the smallest variant without one:\n{commands[key]}"
    if found.winner is None and max_mb is None and question.of_size and len(found.dense):
        max_mb = float(found.dense["packed_mb"].iloc[0])
    if found.winner is None and max_mb is not None:
        only = [] if question.only is None else ["--only", question.only.name]
        words = ["slimscope", "autopilot", question.model, "--max-mb", f"{max_mb:g}", *only]
        yield f"\nTo search a chain within the size:\n{shlex.join(words)}"
