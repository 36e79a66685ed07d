"""The command `fidelity`: a model that any tool compressed, compared with its dense origin."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli import options
from core.cli.listing import check_one_format, to_latex
from core.cli.printing.console import bars, messages, say
from core.cli.printing.layout import Row
from core.cli.printing.tables import print_numbers, print_table, print_tsv, written

if TYPE_CHECKING:
    from core.findings.numbers.fidelity import TextFidelity

OF = 2  # columns that identify a row


def fidelity(
    dense: Annotated[
        str,
        typer.Argument(
            metavar="DENSE", help="The dense model: catalogue id (see `models`), folder, or Hugging Face id."
        ),
    ],
    other: Annotated[
        str,
        typer.Argument(
            metavar="OTHER",
            help="The model to compare with it: the same, also with quantised weights such as compressed-tensors, or a "
            "GGUF file.",
        ),
    ],
    perplexity: options.PerplexityOption = None,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    csv: Annotated[bool, typer.Option("--csv", help="One line per number, with all digits.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as a JSON list.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="A booktabs table.")] = False,
    tsv: Annotated[bool, typer.Option("--tsv", help="One line per number, as shown, separated by tabs.")] = False,
) -> None:
    """Compare a model of any tool with its dense origin, token by token; nothing is stored."""
    from pandas import DataFrame

    check_one_format(csv=csv, tsv=tsv, json=json, latex=latex)
    with bars() as progress:
        from core.engine.fidelity import compare

        found = compare(dense, other, perplexity or [], dtype=dtype, device=device, progress=progress)
    rows = [row for one in found for row in _rows(one)]
    if json or csv:
        print_numbers(DataFrame([record for one in found for record in one.records]), json)
    elif tsv:
        print_tsv(rows)
    elif latex:
        typer.echo(to_latex(rows, OF), nl=False)
    else:
        first, second = found[0].models
        print_table(rows, f"{second} compared with {first}, in {dtype}")
        _describe(found)


def _rows(found: "TextFidelity") -> list[Row]:
    """Return a row per number, as shown."""
    from core.findings.numbers.fidelity import RATIO
    from core.findings.numbers.reporting import interval_words, ratio_words

    rows = []
    for one in found.numbers:

        def cell(value: float, name: str = one.name) -> str:
            return ratio_words(value) if name == RATIO else written(name, value)

        rows.append(
            {
                "number": one.name,
                "text": str(found.text),
                "value": cell(one.value),
                "95 % interval": interval_words(one.low, one.high, cell) or "",
                "windows": str(found.dense.n),
            }
        )
    return rows


def _describe(found: Sequence["TextFidelity"]) -> None:
    """Print a sentence for each text with windows without finite logits, and a warning about few windows."""
    from core.findings.numbers.few import few_of
    from core.findings.numbers.reporting import listed

    for one in found:
        if broken := one.not_finite:
            places = "all windows" if len(broken) == one.dense.n else f"windows {listed([*map(str, broken)])}"
            places = f"window {broken[0]}" if len(broken) == 1 else places
            say(f"{one.models[1]} has no finite logits on {places} of {one.text}, counted from 1.")
    if warning := few_of(one.dense for one in found):
        messages.print(warning, markup=False)
