"""Size and speed of exports in their own runtimes, compared with the dense model in the same type, in one run.

    python -m benchmarks.running.shipping [--chains 'slimllm@0.2;...'] [--types gguf:F16,gguf:Q8_0] [--rounds 3]

It prints MB on disk and tokens per second of decoding one sequence, both also relative to dense. The speed is the
maximum and the median of the rounds, in which the exports take turns. The last column is the largest difference from
our log-probabilities of the five likeliest next tokens. It needs the extra `export`.
"""

import statistics
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.base.errors import UserError
from core.base.memory import reuse_freed_memory
from core.base.progress import silent
from core.engine.session import Session
from core.engine.variants import make_variant
from core.models.sources import identify, load_tokenizer
from core.notation.chain import DENSE
from core.request.complete import complete
from core.request.settings import RunSettings
from core.request.stages import DEFAULT_MODEL
from core.shipping.base import Runtime
from core.shipping.formats import find_format
from core.shipping.proof import ExportCheck, expected, verify_export
from core.specs import RunSpec, TextWindows

CHAINS = "slimllm@0.2;flap@0.2;sparsegpt@0.5+gptq@4bit,group_size=32"
# Hugging Face is last, since it may change the precision of the model.
TYPES = "gguf:F16,gguf:Q8_0,gguf:Q4_0,compressed-tensors:fp32,huggingface:fp32"
SMOKE = {
    "chains": "",
    "types": "huggingface:fp32",
    "calibration": "c4-sample:4x24",
    "rounds": 1,
    "threads": 1,
}


class Export(NamedTuple):
    """An export of a variant in a type of a format."""

    chain: str
    form: str  # with the type
    runtime: Runtime
    path: Path  # loaded by the runtime
    size: int  # bytes
    wanted: list  # the variant's own predictions on the prompts


def written(model: str, chain: str, types: str, calibration: TextWindows, tokenizer, place: Path) -> list[Export]:
    """Compute a variant and write its exports into a folder, without the formats that do not support it."""
    spec = complete(model, chain, RunSettings(calibration=calibration)).variant
    session = Session([RunSpec(variant=spec)])
    network, _ = make_variant(spec, session, silent)
    tokenizer = session.tokenizer
    wanted, exports = expected(network, tokenizer), []
    for requested in types.split(","):
        name, _, kind = requested.partition(":")
        form = find_format(name)
        folder = place / f"{chain}-{name}-{kind}"
        with suppress(UserError):
            form.check(spec, session.source)
            folder.mkdir()
            export = form.write(network, tokenizer, session.source, folder, form.parse(kind), lambda *_: None)
            size = sum(file.stat().st_size for file in folder.iterdir())
            exports.append(Export(chain, f"{form.label} {kind}", form.runtime, export.path, size, wanted))
    return exports


def main(
    chains: Annotated[str, typer.Option(help="Chains, separated by semicolons.")] = CHAINS,
    types: Annotated[str, typer.Option(help="Formats with their types, separated by commas.")] = TYPES,
    calibration: str = "c4-sample:8x512",
    rounds: int = 3,
    threads: int = torch.get_num_threads(),
    model: str = DEFAULT_MODEL,
) -> None:
    reuse_freed_memory()
    tokenizer = load_tokenizer(identify(model))
    with TemporaryDirectory() as temporary:
        exports = [
            export
            for chain in (DENSE, *filter(None, chains.split(";")))
            for export in written(model, chain, types, TextWindows.parse(calibration), tokenizer, Path(temporary))
        ]
        checks: list[list[ExportCheck]] = [[] for _ in exports]
        for _ in range(rounds):
            for export, found in zip(exports, checks, strict=True):
                found.append(verify_export(export.runtime, export.path, export.wanted, threads, lambda: None))
                typer.echo(f"{export.chain}, {export.form}: {found[-1].words()}", err=True)
    table = Table(title=f"{model}, calibrated on {calibration}, {threads} threads, {rounds} rounds")
    for column in ("chain", "saved as", "MB", "/ dense", "tokens/s", "median", "x dense", "difference"):
        table.add_column(column, justify="left" if column in ("chain", "saved as") else "right", overflow="fold")
    dense: dict[str, tuple[int, float]] = {}  # type -> bytes and tokens per second
    for export, found in zip(exports, checks, strict=True):
        speeds = [one.tokens_per_second for one in found if one.tokens_per_second is not None]
        if len(speeds) < rounds:
            table.add_row(export.chain, export.form, f"{export.size / 1e6:.0f}", "", found[-1].words())
            continue
        speed = max(speeds)
        dense.setdefault(export.form, (export.size, speed))
        size, other = dense[export.form]
        table.add_row(
            export.chain,
            export.form,
            f"{export.size / 1e6:.0f}",
            f"{export.size / size:.2f}",
            f"{speed:.0f}",
            f"{statistics.median(speeds):.0f}",
            f"{speed / other:.2f}x",
            f"{found[-1].difference:.2g}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    run(main, SMOKE)
