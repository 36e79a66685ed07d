"""The commands that compute: `run` one variant, `sweep` over many."""

from pathlib import Path
from typing import Annotated

import typer

from core.achieved import describe_gap
from core.chain import format_chain
from core.cli import options
from core.cli.console import WAITING, Bars, bars, messages
from core.cli.description import describe_result
from core.cli.failures import disk_full, sentence
from core.cli.listing import find_result
from core.cli.overview import short_rows
from core.cli.tables import SHORT_NOTE, as_json, print_table, print_tsv, summary, warn_few, with_rows
from core.engine.runs import run_alone
from core.errors import CancelledError, StorageError, UserError, short
from core.formatting import format_duration, variant_name
from core.memory import machine_bytes
from core.paths import typed_path
from core.protocols import requested
from core.registry import data_requirement
from core.request.baseline import remaining_run
from core.request.complete import check_home, check_save_folder, complete
from core.request.estimate import Estimate, estimate_left
from core.request.stages import DEFAULT_RATIO, variant_spec
from core.request.sweeps import Grid, expand_grid
from core.results import Result
from core.shipping.formats import FORMATS, find_format, requested_format, size_of, type_words, usual_words
from core.shipping.saving import saved_words
from core.specs import RunSpec
from core.store.bundled import append_shipped
from core.store.samples import ship_samples
from core.store.store import Store


def run(
    model: Annotated[str, typer.Argument(help="Catalogue id (see `models`), folder, or Hugging Face id.")],
    chain: Annotated[
        str,
        typer.Argument(
            metavar="CHAIN",
            help="Stages (see `methods`), such as wanda@0.5 or magnitude@2:4+adaprune+lora,minutes=5; `dense` is the "
            "model as it is.",
        ),
    ],
    ratio: Annotated[
        float | None,
        typer.Option(help=f"Share of block weights to remove with a single stage; {DEFAULT_RATIO:g} by default."),
    ] = None,
    pattern: Annotated[str | None, typer.Option(metavar="N:M", help="N kept of every M inputs, such as 2:4.")] = None,
    settings: options.Settings = None,
    layers: options.Layers = None,
    name: options.Name = None,
    calibration: options.CalibrationOption = None,
    train: options.TrainOption = None,
    perplexity: options.PerplexityOption = None,
    tasks: options.TasksOption = None,
    fewshot: options.FewshotOption = None,
    scoring: options.EvalDtype = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn, such as the calibration text.")] = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    latency: options.Latency = False,
    scan: options.SensitivityOption = None,
    save: Annotated[Path | None, typer.Option(help="A new folder for the model.")] = None,
    format: options.Format = None,
    type: options.Type = None,
    force: options.Force = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Compress a model, measure it beside the dense one, store the results (or load them)."""
    spec = complete(
        model,
        options.long_form(chain, ratio, pattern, options.parse_settings(settings), layers),
        calibration=calibration,
        train=train,
        perplexity=perplexity or [],
        tasks=options.with_fewshot(tasks, fewshot),
        seed=seed,
        device=device,
        dtype=dtype,
        scoring=options.scoring_dtype(scoring, tasks),
        latency=latency,
        scan=scan,
        force=force,
        name=name,
    )
    if train is not None and not any(data_requirement(stage) == "training" for stage in spec.variant.stages):
        raise UserError(f"No stage of {format_chain(spec.variant.stages)} trains; leave --train out.")
    if save is not None:
        spec = saving(spec, save, format, type)
    elif format is not None or type is not None:
        raise UserError("A format or a type is given, but nothing to save; add a folder with --save.")
    store = Store()
    store.delete_cut_short(spec.variant.key)
    with bars() as progress:
        result = compute_rest(spec, store, progress, announce=True)
    if told := describe_gap(result):
        messages.print(told, markup=False)
    if json:
        typer.echo(as_json(result, indent=2))
    else:
        rows = requested(spec, result.measurements)
        dense_result, names = store.get(result.variant.dense_key), store.model_names(result.variant.model_id)
        describe_result(result, dense_result, store.samples, names, rows, scans=spec.scan is not None)
        warn_few([with_rows(result, rows)])
    if spec.save is not None:
        messages.print(saved_words(spec.save, type_words(spec), usual_words(spec)), markup=False)


def sweep(
    models: Annotated[
        str,
        typer.Option(metavar="A,B", help="Models, each with its dense baseline; one with a comma in double quotes."),
    ],
    methods: Annotated[str | None, typer.Option(metavar="X,Y", help="Methods, each a chain of one stage.")] = None,
    chain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHAIN",
            help="A chain, such as wanda@+adaprune: ratios and patterns fill the amount left open; may be repeated.",
        ),
    ] = None,
    ratios: Annotated[
        str | None, typer.Option(metavar="FIRST:LAST:STEP|R,R", help="Ratios, such as 0.1:0.7:0.1, ends included.")
    ] = None,
    patterns: Annotated[
        str | None, typer.Option(metavar="N:M,...", help="Patterns, bits or factors, such as 2:4,4bit,2x.")
    ] = None,
    train: options.TrainOption = None,
    seeds: Annotated[str, typer.Option(metavar="S,S", help="Seeds; methods that draw nothing run once.")] = "0",
    calibration: options.CalibrationOption = None,
    perplexity: options.PerplexityOption = None,
    tasks: options.TasksOption = None,
    fewshot: options.FewshotOption = None,
    scoring: options.EvalDtype = None,
    tasks_at: Annotated[
        str | None,
        typer.Option(metavar="R,N:M,...", help="Measure the tasks on these ratios and patterns, and dense, only."),
    ] = None,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    latency: options.Latency = False,
    name: options.Name = None,
    force: options.Force = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Add each result to this file, a line each, and its samples to the folder beside.",
        ),
    ] = None,
    tsv: Annotated[bool, typer.Option("--tsv", help="One line a result, a column a number, tabs between.")] = False,
) -> None:
    """Run models x chains x ratios and patterns, and go on past failures."""
    if out is not None:
        out = typed_path(str(out))
        check_lines_file(out)
    grid = Grid(
        models=options.names(models, "Models"),
        chains=options.chains(methods, chain or ()),
        ratios=options.parse_ratios(ratios) if ratios is not None else (),
        patterns=options.names(patterns, "Patterns") if patterns is not None else (),
        seeds=options.parse_seeds(seeds),
        tasks_at=options.names(tasks_at, "Tasks at") if tasks_at is not None else None,
    )
    specs, unfit = expand_grid(
        grid,
        calibration=calibration,
        train=train,
        perplexity=perplexity or [],
        tasks=options.with_fewshot(tasks, fewshot),
        device=device,
        dtype=dtype,
        scoring=options.scoring_dtype(scoring, tasks),
        latency=latency,
        force=force,
        name=name,
    )
    for model, problem in unfit.items():
        messages.print(f"{model} is left out: {problem}", markup=False)
    store, finished, failures = Store(), [], 0
    names = store.model_names(*(spec.variant.model_id for spec in specs))
    with bars() as progress:
        progress.start_points(len(specs))
        for number, spec in enumerate(specs, start=1):
            point = f"{number}/{len(specs)} {variant_name(spec.variant, names[spec.variant.model_id])}"
            try:
                store.delete_cut_short(spec.variant.key)
                result = compute_rest(spec, store, progress)
                finished.append(with_rows(result, requested(spec, result.measurements)))
                if out is not None:
                    add_line(result, out)
                messages.print(f"{point}: done. {describe_gap(result) or ''}".rstrip(), markup=False)
            except Exception as error:
                if isinstance(error, CancelledError):
                    raise
                if isinstance(error, StorageError) or disk_full(error):  # every further result would be lost, too
                    raise StorageError(
                        f"The sweep stops at {point}, where the same command goes on: {sentence(error)}"
                    ) from error
                failures += 1
                messages.print(f"{point}: {sentence(error)}", markup=False)
            progress.finish_point(number, len(specs))
    if tsv:
        print_tsv(summary(finished, store.samples, names))
    else:
        print_table(short_rows(finished, store.samples, names), note=SHORT_NOTE)
    warn_few(finished)
    if failures:
        messages.print(f"{failures} of {len(specs)} points failed; the same command tries them again.")
    if unfit:
        messages.print(f"{len(unfit)} of {len(grid.models)} models left out: {', '.join(unfit)}.", markup=False)
    if failures or unfit:
        raise typer.Exit(1)


def export(
    key: Annotated[str, typer.Argument(help="The key of a result, or the first 8 or more of its digits.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the model.")],
    format: options.Format = None,
    type: options.Type = None,
) -> None:
    """Write a variant as files that other programs load, made again where it is not kept."""
    store = Store()
    found = find_result(store, key)
    spec = saving(RunSpec(variant=variant_spec(found.variant)), folder, format, type)
    messages.print(f"It will take about {size_of(found, *requested_format(spec))}.")
    with bars() as progress:
        compute_rest(spec, store, progress)
    said = saved_words(str(spec.save), type_words(spec), usual_words(spec))
    messages.print(f"{said} Its README.md says how to load it.", markup=False)


def estimate_words(cost: Estimate, device: str, dense: bool) -> str:
    """Say what a run takes, and whether this machine has the memory.

    Args:
        cost: The estimate.
        device: Where the run computes; only a CPU's memory is the machine's.
        dense: Whether the dense baseline is measured, too.
    """
    there = machine_bytes()
    more = f", more than the {there / 1e9:.1f} GB of this machine" if device == "cpu" and cost.bytes > there else ""
    baseline = ", the dense baseline included" if dense else ""
    return f"Estimated: {format_duration(cost.seconds)}, {cost.bytes / 1e9:.1f} GB of memory{more}{baseline}."


def saving(spec: RunSpec, folder: Path, format: str | None, type: str | None) -> RunSpec:
    """Return the run that also saves its model, in a format and a type; what can be told before is checked."""
    folder = typed_path(str(folder))
    check_save_folder(folder)
    form = FORMATS[0] if format is None else find_format(format)
    kind = None if type is None else form.parse(type)  # else what `requested_format` takes
    form.check(spec.variant)
    return spec.model_copy(update={"save": str(folder.resolve()), "format": form.name, "precision": kind})


def compute_rest(spec: RunSpec, store: Store, progress: Bars, announce: bool = False) -> Result:
    """Return a result, computing what the store lacks of it; `announce` prints first what that takes."""
    if parts := remaining_run(spec, store):
        cost = estimate_left([spec], store)
        progress.expect(cost.stages)
        if announce:
            progress.announce(estimate_words(cost, spec.device, dense=parts[-1].variant != spec.variant))
    return run_alone(spec, store, progress, lambda: progress(WAITING, 0, 1))


def add_line(result: Result, file: Path) -> None:
    """Append a result to a JSONL file unless a line of it says the same already, and put its samples beside it."""
    if not file.exists() or result.model_dump_json() not in file.read_text().split("\n"):
        ship_samples(result, file.parent)
        append_shipped(result, file)


def check_lines_file(file: Path) -> None:
    """Raise `UserError` unless the name is one that shipped results are read under."""
    if file.suffix != ".jsonl" or file.is_dir():
        raise UserError(f"Results are added to a file whose name ends in .jsonl, and {short(str(file))} is none.")
    check_home(file)
