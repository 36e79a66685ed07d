"""Completion of a request to a checked `RunSpec`, for the command line and the dashboard.

It reports every fault that is detectable without loading a model. It imports no torch.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from core.amount import Pattern
from core.base.errors import UserError, echo, short, unknown
from core.data.cards import card
from core.data.corpora import default_corpora, identify_corpus
from core.data.tasks import identify_task
from core.data.texts import CORPORA
from core.models.facts import load_shape
from core.models.parts.selection import selects
from core.models.shape import MOST_UNCOVERED, ModelShape
from core.models.sources import identify, identify_again
from core.models.terms import check_here
from core.notation.chain import DENSE, ChainDefaults, StageRequest, parse
from core.registry import leaves
from core.request.resolve import build_scan, check_experts, check_seed, method_of, resolve_chain, resolve_text
from core.request.settings import DEFAULT_SETTINGS, RunSettings
from core.request.stages import (
    DEFAULT_EXAMPLE,
    DEFAULT_EXAMPLES,
    DEFAULT_WINDOW,
    DEFAULT_WINDOWS,
    check_divides,
    parse_dtype,
)
from core.specs import Perplexity, RunSpec, Task, TextWindows, VariantSpec
from core.store.slots import on_cluster

Sequences = TypeVar("Sequences", TextWindows, Perplexity)


def complete(model: str, chain: str | Sequence[StageRequest], settings: RunSettings = DEFAULT_SETTINGS) -> RunSpec:
    """Complete and check the request of a run.

    Defaults are a ratio of 0.5, 16 calibration sequences and 16 perplexity windows of 2048 tokens (or the model's
    maximum), and 512 training sequences of 256 tokens, from the best corpora on this machine. A
    corpus is identified by its text, so another text under the same name gives another key. A redundant evaluation
    precision, and a comparison of the dense model with itself, are left out, so that equal runs have equal
    specifications.

    Raises:
        UserError: A part of the request is invalid.
    """
    requests = parse(chain) if isinstance(chain, str) else chain
    check_device(settings.device)
    check_seed(settings.seed)
    source = identify(model, settings.name)
    check_here(source)
    shape = load_shape(source)
    check_covered(source.id, shape, settings.partial or all(one.name == DENSE for one in requests))
    check_experts(source, requests)
    stages = resolve_chain([_identified(one, settings.defaults, shape) for one in requests], settings.defaults)
    for stage in takewhile(lambda stage: not leaves(stage) & {"shapes", "factors"}, stages):  # with dense shapes
        if isinstance(stage.amount, Pattern) and stage.layers is None:
            for width in shape.widths:
                check_divides(stage.amount, width, "a layer")
    perplexity = _perplexities(settings.perplexity or (default_perplexity(shape),), shape)
    tasks = _tasks(settings.tasks)
    variant = VariantSpec(model=source.id, revision=source.revision, dtype=parse_dtype(settings.dtype), stages=stages)
    scan = None
    if settings.scan is not None:
        text = identified_text(settings.calibration or default_text(False, shape), shape)
        scan = build_scan(stages, settings.scan, text, settings.seed)
    return RunSpec(
        variant=variant,
        perplexity=perplexity,
        tasks=tasks,
        scoring=settings.scoring if settings.tasks and settings.scoring != variant.dtype else None,
        fidelity=settings.fidelity and not variant.is_dense,
        latency=settings.latency,
        scan=scan,
        memory=settings.memory,
        threads=settings.threads,
        device=settings.device,
        force=settings.force,
    )


def check_covered(model: str, shape: ModelShape, partial: bool) -> None:
    """Raise `UserError` if many block weights are in no linear, unless the user agreed to a `partial` compression."""
    if shape.uncovered_share > MOST_UNCOVERED and not partial:
        raise UserError(
            f"{100 * shape.uncovered_share:.0f} % of the block weights of {model} are in no linear and would stay "
            "dense. Agree to a partial compression (--partial) to compress the others."
        )


def measuring(
    spec: RunSpec, perplexity: Sequence[Perplexity], tasks: Sequence[Task], fidelity: bool = False
) -> RunSpec:
    """Return a checked run with other measurements of the same variant; a `UserError` if one is invalid."""
    shape = load_shape(identify_again(spec.variant.model, spec.variant.revision))
    numbers = {"perplexity": _perplexities(perplexity, shape), "tasks": _tasks(tasks)}
    return spec.model_copy(update={**numbers, "fidelity": fidelity and not spec.variant.is_dense})


def _perplexities(wanted: Sequence[Perplexity], shape: ModelShape) -> tuple[Perplexity, ...]:
    """Return the perplexities without repeats, with their texts identified by content."""
    return tuple(dict.fromkeys(identified_text(one, shape) for one in wanted))


def _tasks(wanted: Sequence[Task]) -> tuple[Task, ...]:
    """Return the tasks without repeats, identified by their documents."""
    return tuple(dict.fromkeys(map(identified_task, wanted)))


def _identified(one: StageRequest, defaults: ChainDefaults, shape: ModelShape) -> StageRequest:
    """Return a stage whose text and teacher are identified by content and whose layers exist."""
    with one.error_context("text"):
        text = resolve_text(one, defaults)
        reads = method_of(one).data_requirement
        if text or reads != "nothing":
            text = identified_text(text or default_text(reads == "training", shape), shape)
    with one.error_context("layers"):
        if one.layers is not None:
            selects(one.layers, shape.blocks, shape.linears)
    settings = one.settings
    if settings.get("teacher"):
        from core.models.teacher import identified_teacher

        with one.error_context("teacher"):
            settings = {**settings, "teacher": identified_teacher(str(settings["teacher"]))}
    return replace(one, text=text, settings=settings)


def default_perplexity(shape: ModelShape) -> Perplexity:
    """Return the default perplexity of a language model; raise `UserError` if it reads a single token."""
    window = min(DEFAULT_WINDOW, shape.max_window)
    if window < 2:
        raise UserError("This model reads one token at most, by its configuration; a perplexity needs two.")
    return Perplexity(corpus=default_corpora()[0], window=window, windows=DEFAULT_WINDOWS)


def default_text(training: bool, shape: ModelShape) -> TextWindows:
    """Return the default training or calibration data."""
    windows, window = (DEFAULT_EXAMPLES, DEFAULT_EXAMPLE) if training else (DEFAULT_WINDOWS, DEFAULT_WINDOW)
    return TextWindows(corpus=default_corpora()[1], windows=windows, window=min(window, shape.max_window))


def identified_text(wanted: Sequences, shape: ModelShape) -> Sequences:
    """Return data or a perplexity with its corpus identified by content.

    Raises `UserError` if there is no such corpus, it does not serve this purpose, or the sequences are too long.
    """
    measures = isinstance(wanted, Perplexity)
    if wanted.window > shape.max_window:
        raise UserError(
            f"{'Perplexity' if measures else 'Data'} {echo(str(wanted))} needs {wanted.window} positions, but the "
            f"model has only {shape.max_window}; shorten it."
        )
    corpus = identify_corpus(wanted.corpus).id
    unfit = {one.id for one in CORPORA if (one.calibration_only if measures else one.held_out)}
    if corpus.partition("@")[0] in unfit:
        others = ", ".join(one.id for one in CORPORA if one.id not in unfit)
        refusal = "only for calibration; measure perplexity" if measures else "held out for evaluation; calibrate"
        raise UserError(f"{corpus} is {refusal} on one of {others}, or on a text file.")
    return wanted.model_copy(update={"corpus": corpus})


def identified_task(task: Task) -> Task:
    """Return the task identified by its documents; a `UserError` if the task or its prompt is invalid."""
    check_fewshot(task)
    return task.model_copy(update={"task": identify_task(task.task).id})


def check_fewshot(task: Task) -> None:
    """Raise `UserError` if a task has too few documents for examples, or does not support reasoning."""
    known, how = card(task.task), task.fewshot
    if how.template == "reasoning" and not known.answers:
        raise UserError(f"{known.label} asks no question to reason about; choose another template than reasoning.")
    if not (how.k or how.template == "generated"):
        return
    if known.pool is None and task.limit is None:
        raise UserError(
            f"Scoring all documents of {known.label} leaves none for few-shot examples; give a limit, such as "
            f"{known.id}:500."
        )
    left = known.pool_documents if known.pool else known.documents - (task.limit or 0)
    if left < max(how.k, 1):
        raise UserError(
            f"{known.label} has {max(left, 0)} unscored documents for few-shot examples, fewer than the requested "
            f"{max(how.k, 1)}; request fewer" + ("." if known.pool else ", or lower the limit.")
        )


def check_device(device: str) -> None:
    """Raise `UserError` for an invalid device name, or for a device that this machine lacks, unless a cluster runs."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise unknown("device", device, ("cpu", "cuda", "cuda:0", "mps"))
    if device != "cpu" and not on_cluster():
        from core.models.parts.blocks import check_available

        check_available(device)


def check_home(path: Path) -> None:
    """Raise `UserError` if the `~` of a path names an unknown user."""
    if str(path).startswith("~"):
        raise UserError(f"{short(str(path))} starts with the home of an unknown user; give the whole path.")


def check_save_folder(folder: Path) -> None:
    """Raise `UserError` unless a folder is new or empty."""
    check_home(folder)
    try:
        occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"The model cannot be saved in {short(str(folder))}: {error.strerror}.") from None
    if occupied:
        raise UserError(f"Folder {folder} is not empty; give a new or empty one.")
