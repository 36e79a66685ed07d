"""The commands that compute: `run`, `sweep` and `export`."""

from pathlib import Path
from typing import Annotated

import typer

from core.amount import Amount
from core.base.errors import CancelledError, StorageError, UserError, short
from core.base.memory import machine_bytes
from core.base.paths import typed_path
from core.cli import options
from core.cli.listing import find_result
from core.cli.printing.console import Bars, bars, messages
from core.cli.printing.description import describe_result, planned_rows
from core.cli.printing.failures import disk_full, sentence
from core.cli.printing.overview import short_rows
from core.cli.printing.tables import SHORT_NOTE, as_json, print_table, print_tsv, summary, warn_few, with_rows
from core.engine.runs import run_alone
from core.jobs.points import results_of
from core.models.sources import identify_again
from core.notation.chain import format_chain
from core.notation.formatting import format_duration
from core.notation.removal import describe_gap
from core.notation.short import name_with_model
from core.protocols import requested
from core.registry import data_requirement
from core.request.baseline import remaining_run
from core.request.complete import check_home, check_save_folder, complete
from core.request.expected.estimate import USUALLY, Estimate, estimate_left
from core.request.expected.size import size_sentence
from core.request.settings import RunSettings
from core.request.stages import DEFAULT_RATIO, variant_spec
from core.request.sweeps import Grid, expand_grid
from core.results import Result
from core.shipping.formats import FORMATS, find_format, requested_format, saved_words, size_of
from core.specs import RunSpec
from core.store.bundled import append_shipped
from core.store.samples import ship_samples
from core.store.store import Store

LONG_TRAINING = 1800.0  # seconds, above which the estimate of a run names the parameter that limits a training


@options.with_settings()
def run(
    model: Annotated[str, typer.Argument(help="Catalogue id (see `models`), folder, or Hugging Face id.")],
    chain: Annotated[
        str,
        typer.Argument(
            metavar="CHAIN",
            help="Stages (see `methods`), such as wanda@0.5 or magnitude@2:4+adaprune+lora,minutes=5; `dense` is the "
            "uncompressed model.",
        ),
    ],
    ratio: Annotated[
        float | None,
        typer.Option(help=f"Pruning ratio of a single stage, a share of block weights; default: {DEFAULT_RATIO:g}."),
    ] = None,
    pattern: Annotated[str | None, typer.Option(metavar="N:M", help="Keep N of every M inputs, such as 2:4.")] = None,
    set: options.Settings = None,
    layers: options.Layers = None,
    *,
    settings: RunSettings,
    save: Annotated[Path | None, typer.Option(help="Save the model in this new folder.")] = None,
    format: options.Format = None,
    type: options.Type = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Compress a model, measure it and the dense model, and store the results; stored numbers are reused."""
    stages = options.long_form(chain, ratio, pattern, options.parse_settings(set), layers)
    spec = complete(model, stages, settings)
    if settings.train is not None and not any(data_requirement(stage) == "training" for stage in spec.variant.stages):
        raise UserError(f"No stage of {format_chain(spec.variant.stages)} trains; remove --train.")
    if save is not None:
        spec = saving(spec, save, format, type)
    elif format is not None or type is not None:
        raise UserError("--format and --type are for a model to save; add a folder with --save.")
    store = Store()
    store.delete_cut_short(spec.variant.key)
    with bars() as progress:
        result = compute_rest(spec, store, progress, announce=True)
    if gap := describe_gap(result):
        messages.print(gap, markup=False)
    if json:
        typer.echo(as_json(result, indent=2))
    else:
        rows = requested(spec, result.measurements)
        dense_result, names = store.get(result.variant.dense_key), store.model_names(result.variant.model_id)
        describe_result(result, dense_result, store, names, rows, scans=spec.scan is not None)
        warn_few([with_rows(result, rows)])
    if spec.save is not None:
        messages.print(saved_words(spec), markup=False)


@options.with_settings(*options.SETTINGS.keys() - {"seed", "scan"})
def sweep(
    models: Annotated[
        str,
        typer.Option(metavar="A,B", help="Models, each with its dense baseline; quote a name that has a comma."),
    ],
    methods: Annotated[str | None, typer.Option(metavar="X,Y", help="Methods, each a chain of one stage.")] = None,
    chain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHAIN",
            help="A chain, such as wanda@+adaprune. --ratios and --patterns fill its open amount. May be repeated.",
        ),
    ] = None,
    ratios: Annotated[
        str | None,
        typer.Option(metavar="FIRST:LAST:STEP|R,R", help="Pruning ratios, such as 0.1:0.7:0.1, ends included."),
    ] = None,
    patterns: Annotated[
        str | None, typer.Option(metavar="N:M,...", help="N:M, bits or factors, such as 2:4,4bit,2x.")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="S,S", help="Seeds; deterministic methods run once.")] = "0",
    tasks_at: Annotated[
        str | None,
        typer.Option(metavar="R,N:M,...", help="Measure the tasks only at these amounts and on the dense model."),
    ] = None,
    *,
    settings: RunSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Append each result to this file as a line, and write its samples to the folder `samples` next to it.",
        ),
    ] = None,
    tsv: Annotated[bool, typer.Option("--tsv", help="One line per result, separated by tabs.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs in their order with time and memory, and run none.")
    ] = False,
) -> None:
    """Run models x chains x amounts x seeds; continue after failures."""
    if out is not None:
        out = typed_path(str(out))
        check_lines_file(out)
    grid = Grid(
        models=options.names(models, "Models"),
        chains=options.chains(methods, chain or ()),
        amounts=options.amounts(ratios, patterns),
        seeds=options.parse_seeds(seeds),
        tasks_at=None if tasks_at is None else frozenset(map(Amount.parse, options.names(tasks_at, "Tasks at"))),
    )
    specs, unfit = expand_grid(grid, settings)
    for model, problem in unfit.items():
        messages.print(f"{model} is skipped: {problem}", markup=False)
    store, finished, failures = Store(), [], 0
    names = store.model_names(*(spec.variant.model_id for spec in specs))
    if dry_run:
        rows = planned_rows(
            specs, [name_with_model(spec.variant, names[spec.variant.model_id]) for spec in specs], store
        )
        print_table(rows, f"{len(specs)} runs, with the dense baseline in each time")
        messages.print(f"All: {format_duration(estimate_left(specs, store).seconds)}, each baseline once.")
        return
    with bars() as progress:
        progress.start_points(len(specs))
        for number, (spec, compute) in enumerate(results_of(specs, store, progress, compute_rest), start=1):
            point = f"{number}/{len(specs)} {name_with_model(spec.variant, names[spec.variant.model_id])}"
            try:
                result = compute()
                finished.append(with_rows(result, requested(spec, result.measurements)))
                if out is not None:
                    add_line(result, out)
                messages.print(f"{point}: done. {describe_gap(result) or ''}".rstrip(), markup=False)
            except Exception as error:
                if isinstance(error, CancelledError):
                    raise
                if isinstance(error, StorageError) or disk_full(error):  # further results would be lost, too
                    raise StorageError(
                        f"The sweep stopped at {point}; the same command resumes there: {sentence(error)}"
                    ) from error
                failures += 1
                messages.print(f"{point}: {sentence(error)}", markup=False)
            progress.finish_point(number, len(specs))
    if tsv:
        print_tsv(summary(finished, store, names))
    else:
        print_table(short_rows(finished, store, names), note=SHORT_NOTE)
    warn_few(finished)
    if failures:
        messages.print(f"{failures} of {len(specs)} points failed; the same command retries them.")
    if unfit:
        messages.print(f"{len(unfit)} of {len(grid.models)} models skipped: {', '.join(unfit)}.", markup=False)
    if failures or unfit:
        raise typer.Exit(1)


def export(
    key: Annotated[str, typer.Argument(help="The key of a result, or its first 8 or more digits.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the files.")],
    format: options.Format = None,
    type: options.Type = None,
) -> None:
    """Export a variant to files for other runtimes; compute it again if it is not cached."""
    store = Store()
    found = find_result(store, key)
    spec = saving(RunSpec(variant=variant_spec(found.variant)), folder, format, type)
    source = identify_again(spec.variant.model, spec.variant.revision)
    messages.print(f"The export needs about {size_of(found, source, *requested_format(spec))}.")
    with bars() as progress:
        compute_rest(spec, store, progress)
    messages.print(f"{saved_words(spec)} Its README.md explains how to load it.", markup=False)


def estimate_words(cost: Estimate, device: str, dense: bool) -> str:
    """Describe the estimated time and memory of a run, and whether they exceed this machine's memory.

    Args:
        cost: The estimate.
        device: The compute device; only runs on the CPU use the machine's memory.
        dense: Whether the run also measures the dense baseline.
    """
    memory = machine_bytes()
    more = f", more than the {memory / 1e9:.1f} GB of this machine" if device == "cpu" and cost.bytes > memory else ""
    baseline = ", the dense baseline included" if dense else ""
    time = f"{format_duration(cost.seconds)} ({USUALLY})"
    words = f"Estimated: {time}, {cost.bytes / 1e9:.1f} GB of memory{more}{baseline}."
    if (training := cost.stages.get("train", 0.0)) > LONG_TRAINING:
        words += f" Training takes {format_duration(training)} of it; minutes limits a stage, as in lora,minutes=5."
    return f"{words} {cost.streaming}" if cost.streaming else words


def saving(spec: RunSpec, folder: Path, format: str | None, type: str | None) -> RunSpec:
    """Return the run that also saves its model in a format and a type; check these before the run."""
    folder = typed_path(str(folder))
    check_save_folder(folder)
    form = FORMATS[0] if format is None else find_format(format)
    kind = None if type is None else form.parse(type)  # None: `requested_format` chooses
    form.check(spec.variant, identify_again(spec.variant.model, spec.variant.revision))
    return spec.model_copy(update={"save": str(folder.resolve()), "format": form.name, "precision": kind})


def compute_rest(spec: RunSpec, store: Store, progress: Bars, announce: bool = False) -> Result:
    """Compute the missing parts of a result and return all of it; `announce` prints the estimate first."""
    if parts := remaining_run(spec, store):
        cost = estimate_left([spec], store)
        if cost.refusal:
            raise UserError(cost.refusal)
        progress.expect(cost.stages)
        if announce:
            words = estimate_words(cost, spec.device, dense=parts[-1].variant != spec.variant)
            progress.announce(" ".join(filter(None, (words, size_sentence(spec.variant)))))
    return run_alone(spec, store, progress)


def add_line(result: Result, file: Path) -> None:
    """Append a result to a JSONL file unless it has the same line; write its samples next to the file."""
    if not file.exists() or result.model_dump_json() not in file.read_text().split("\n"):
        ship_samples(result, file.parent)
        append_shipped(result, file)


def check_lines_file(file: Path) -> None:
    """Raise `UserError` unless the file's name ends in .jsonl, like those of bundled results."""
    if file.suffix != ".jsonl" or file.is_dir():
        raise UserError(f"{short(str(file))} is not a .jsonl file; name one such as results.jsonl.")
    check_home(file)
