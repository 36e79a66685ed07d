"""From a request with gaps to a whole, checked `RunSpec`: the one place for command line and dashboard.

All that can be told without loading a model is told here; nothing imports torch.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.chain import ChainDefaults, StageRequest, parse
from core.data.corpora import default_corpora, identify_corpus
from core.data.tasks import identify_task
from core.data.texts import BY_ID, CORPORA
from core.errors import UserError, echo, short, unknown
from core.models.facts import load_shape
from core.models.parts.selection import selects
from core.models.shape import ModelShape
from core.models.sources import check_here, identify, identify_again
from core.request.compatibility import check_model_type
from core.request.fewshot import check_fewshot
from core.request.resolve import check_seed, data_requirement_of, resolve_chain, resolve_text
from core.request.sensitivity import build_scan
from core.request.stages import (
    DEFAULT_EXAMPLE,
    DEFAULT_EXAMPLES,
    DEFAULT_WINDOW,
    DEFAULT_WINDOWS,
    build_run,
    check_divides,
)
from core.specs import Dtype, Perplexity, RunSpec, ScanUnit, Stage, Task, TextWindows


def complete(
    model: str,
    chain: str | Sequence[StageRequest],
    *,
    calibration: TextWindows | None = None,
    train: TextWindows | None = None,
    seed: int = 0,
    perplexity: Sequence[Perplexity] = (),
    tasks: Sequence[Task] = (),
    device: str = "cpu",
    dtype: str = "float32",
    scoring: Dtype | None = None,
    latency: bool = False,
    scan: ScanUnit | None = None,
    force: bool = False,
    name: str | None = None,
) -> RunSpec:
    """Return the checked run, gaps filled: a ratio; 16 windows of 2048 tokens (or the model's longest) to calibrate on
    and, where no perplexity is asked for, to measure; 512 of 256 to train on; on the best corpora of this machine. Of
    a model that is no language model nothing is measured, and it reads no text.

    `scan` says what parts are to be compressed alone, to see how much each matters.

    `model` is a catalogue id, a folder or a hub id, and `name` what a folder is called; `chain` is written
    (`core.chain`) or what was read of it. `calibration` is for all stages that read text and name none, `train` for
    those that train. A corpus is named by the identity of its text, so that another text behind the same name gives
    another key. Raises `UserError` for what can be seen to be wrong.
    """
    asked = parse(chain) if isinstance(chain, str) else chain
    check_device(device)
    check_seed(seed)
    source = identify(model, name)
    check_here(source)
    shape = load_shape(source)
    language = check_model_type(source, asked, bool(perplexity or tasks or latency or scan))
    beside = ChainDefaults(calibration, train, seed)
    stages = resolve_chain([_identified(one, beside, shape) for one in asked], beside)
    _check_divides(stages, shape)
    if language and not perplexity:
        window = min(DEFAULT_WINDOW, shape.max_window)
        perplexity = [Perplexity(corpus=default_corpora()[0], window=window, windows=DEFAULT_WINDOWS)]
    spec = build_run(
        source.id,
        source.revision,
        stages,
        **_measured(perplexity, tasks, shape),
        dtype=dtype,
        device=device,
        latency=latency,
        force=force,
        scoring=scoring,
    )
    if scan is None:
        return spec
    text = identified_calibration(calibration or default_text(False, shape), shape)
    return spec.model_copy(update={"scan": build_scan(stages, scan, text, seed)})


def measuring(spec: RunSpec, perplexity: Sequence[Perplexity], tasks: Sequence[Task]) -> RunSpec:
    """Return a checked run that measures other numbers of the same variant; a `UserError` where they do not fit."""
    shape = load_shape(identify_again(spec.variant.model, spec.variant.revision))
    return spec.model_copy(update=_measured(perplexity, tasks, shape))


def _measured(perplexity: Sequence[Perplexity], tasks: Sequence[Task], shape: ModelShape) -> dict[str, Any]:
    """Return what a run measures, as its fields: each number once, texts and tasks named by their content."""
    return {
        "perplexity": tuple(dict.fromkeys(identified_perplexity(wanted, shape) for wanted in perplexity)),
        "tasks": tuple(dict.fromkeys(identified_task(wanted) for wanted in tasks)),
    }


def _identified(one: StageRequest, beside: ChainDefaults, shape: ModelShape) -> StageRequest:
    """Return a stage whose text and teacher are named by what they are, and whose layers are there."""
    with one.error_context("text"):
        text = resolve_text(one, beside)
        if text or data_requirement_of(one) != "nothing":
            text = identified_calibration(text or default_text(data_requirement_of(one) == "training", shape), shape)
    with one.error_context("layers"):
        if one.layers is not None:
            selects(one.layers, shape.blocks, shape.linears)
    settings = one.settings
    if settings.get("teacher"):
        from core.training.teacher import identified_teacher

        with one.error_context("teacher"):
            settings = {**settings, "teacher": identified_teacher(settings["teacher"])}
    return replace(one, text=text, settings=settings)


def _check_divides(stages: Sequence[Stage], shape: ModelShape) -> None:
    """Raise `UserError` for a pattern that does not divide the layers of the model while all have their shape."""
    for stage in stages:
        if stage.ratio_kind in ("bits", "embedding"):  # which leave the layers their shape
            continue
        if stage.removes and stage.ratio_kind != "sparsity":
            return
        if stage.pattern and stage.layers is None:
            for width in shape.widths:
                check_divides(stage.pattern, width, "a layer")


def default_text(training: bool, shape: ModelShape) -> TextWindows:
    """Return what is trained on, or else calibrated on, where nothing is asked for."""
    windows, window = (DEFAULT_EXAMPLES, DEFAULT_EXAMPLE) if training else (DEFAULT_WINDOWS, DEFAULT_WINDOW)
    return TextWindows(corpus=default_corpora()[1], windows=windows, window=min(window, shape.max_window))


def identified_calibration(calibration: TextWindows, shape: ModelShape) -> TextWindows:
    """Return the calibration with its corpus named by its text; a `UserError` where corpus or window do not fit."""
    check_window("Calibration", str(calibration), calibration.window, shape)
    corpus = identify_corpus(calibration.corpus).id
    known = BY_ID.get(corpus.partition("@")[0])
    if known and known.held_out:
        others = ", ".join(c.id for c in CORPORA if not c.held_out)
        raise UserError(f"{corpus} is held out for measuring; calibrate on one of {others}, or on a text file.")
    return calibration.model_copy(update={"corpus": corpus})


def identified_perplexity(perplexity: Perplexity, shape: ModelShape) -> Perplexity:
    """Return the perplexity with its corpus named by its text; a `UserError` where corpus or window do not fit."""
    check_window("Perplexity", str(perplexity), perplexity.window, shape)
    corpus = identify_corpus(perplexity.corpus).id
    known = BY_ID.get(corpus.partition("@")[0])
    if known and known.calibration_only:
        others = ", ".join(c.id for c in CORPORA if not c.calibration_only)
        raise UserError(f"{corpus} is only to calibrate on; measure perplexity on one of {others}, or on a text file.")
    return perplexity.model_copy(update={"corpus": corpus})


def identified_task(task: Task) -> Task:
    """Return the task named by its documents; a `UserError` where there is no such task, or no such prompt of it."""
    check_fewshot(task)
    return task.model_copy(update={"task": identify_task(task.task).id})


def check_window(what: str, text: str, window: int, shape: ModelShape) -> None:
    """Raise `UserError` for a window longer than the model has positions."""
    if window > shape.max_window:
        raise UserError(
            f"{what} {echo(text)} has windows of {window} tokens, but this model was made for {shape.max_window}."
        )


def check_device(device: str) -> None:
    """Raise `UserError` for what is no device's name. Whether this machine has it shows when the run starts."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise unknown("device", device, ("cpu", "cuda", "cuda:0", "mps"))


def check_home(path: Path) -> None:
    """Raise `UserError` where a path begins with the `~` of a user that this machine does not have."""
    if str(path).startswith("~"):
        raise UserError(f"{short(str(path))} names the home of no user; give the whole path.")


def check_save_folder(folder: Path) -> None:
    """Raise `UserError` unless the folder is new or empty."""
    check_home(folder)
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"The model cannot be saved in {short(str(folder))}: {error.strerror}.") from None
    if taken:
        raise UserError(f"Folder {folder} is not empty; give a new or an empty one to save the model in.")
