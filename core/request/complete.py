"""From a request with gaps to a whole, checked `RunSpec`: the one place for command line and dashboard.

All that can be told without loading a model is told here; nothing imports torch.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.data.corpora import default_corpora, identify_corpus
from core.data.tasks import identify_task
from core.data.texts import BY_ID, CORPORA
from core.errors import UserError, unknown
from core.models.facts import facts
from core.models.parts.selection import selector
from core.models.shape import ModelFacts
from core.models.sources import identify
from core.registry import get_method, get_recovery
from core.request.stages import (
    DEFAULT_EXAMPLE,
    DEFAULT_EXAMPLES,
    DEFAULT_WINDOW,
    DEFAULT_WINDOWS,
    build_run,
    build_stage,
    check_divides,
)
from core.specs import Calibration, Perplexity, RunSpec, Task

MOST_SEED = 2**31  # every generator takes it


def complete(
    model: str,
    method: str,
    *,
    ratio: float | None = None,
    pattern: str | None = None,
    settings: Mapping[str, Any] | None = None,
    layers: str | None = None,
    calibration: Calibration | None = None,
    perplexity: Sequence[Perplexity] = (),
    tasks: Sequence[Task] = (),
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    latency: bool = False,
    force: bool = False,
    recovery: str | None = None,
    recovery_settings: Mapping[str, Any] | None = None,
    training: Calibration | None = None,
) -> RunSpec:
    """Return the checked run, gaps filled: a ratio, and 16 windows of 2048 tokens (or the model's longest) to
    calibrate on and, where no perplexity is asked for, to measure, on the best corpora of this machine.

    `model` is a catalogue id, a folder or a hub id; `recovery` is trained afterwards, on `training`, by default 512
    windows of 256 tokens of the corpus to calibrate on. A corpus is named by the identity of its text, so that another
    text behind the same name gives another key. Raises `UserError` for what can be seen to be wrong.
    """
    found = get_method(method)
    check_device(device)
    if seed < 0:
        raise UserError(f"Seed {seed} is negative; seeds are 0, 1, 2 and so on.")
    if seed > MOST_SEED:
        raise UserError(f"Seed {seed} is larger than {MOST_SEED}, the last one.")
    source = identify(model)
    shape = facts(source)
    window = min(DEFAULT_WINDOW, shape.max_window)
    reads = found.of(found.parsed(settings or {}), seed).reads
    if calibration is None and reads != "nothing":
        calibration = default_text(reads == "training", shape)
    if not perplexity:
        perplexity = [Perplexity(corpus=default_corpora()[0], window=window, windows=DEFAULT_WINDOWS)]
    if layers is not None:
        if not found.by_layer:
            raise UserError(f"{found.label} removes units from the whole model; leave the layers out.")
        selector(layers, shape.blocks)  # refuses what selects nothing
    stage = build_stage(
        found.name,
        ratio,
        pattern,
        settings,
        None if calibration is None else identified_calibration(calibration, shape),
        seed,
        layers,
    )
    if stage.pattern and layers is None:
        for width in shape.widths:
            check_divides(stage.pattern, width, "a layer")
    stages = [stage]
    if recovery is not None:
        text = identified_calibration(training or default_text(True, shape), shape)
        settings = dict(recovery_settings or {})
        if settings.get("teacher"):
            from core.training.teacher import identified_teacher

            settings["teacher"] = identified_teacher(settings["teacher"])
        stages.append(build_stage(get_recovery(recovery).name, None, None, settings, text, seed))
    elif recovery_settings or training:
        raise UserError("Parameters and text of a recovery are given, but no recovery; add one with --recover.")
    return build_run(
        source.id,
        source.revision,
        stages,
        list(dict.fromkeys(identified_perplexity(wanted, shape) for wanted in perplexity)),
        list(dict.fromkeys(identified_task(wanted) for wanted in tasks)),
        dtype,
        device,
        latency,
        force,
    )


def default_text(training: bool, shape: ModelFacts) -> Calibration:
    """Return what is trained on, or else calibrated on, where nothing is asked for."""
    windows, window = (DEFAULT_EXAMPLES, DEFAULT_EXAMPLE) if training else (DEFAULT_WINDOWS, DEFAULT_WINDOW)
    return Calibration(corpus=default_corpora()[1], windows=windows, window=min(window, shape.max_window))


def identified_calibration(calibration: Calibration, shape: ModelFacts) -> Calibration:
    """Return the calibration with its corpus named by its text; a `UserError` where corpus or window do not fit."""
    check_window("Calibration", str(calibration), calibration.window, shape)
    corpus = identify_corpus(calibration.corpus).id
    known = BY_ID.get(corpus.partition("@")[0])
    if known and known.held_out:
        others = ", ".join(c.id for c in CORPORA if not c.held_out)
        raise UserError(f"{corpus} is held out for measuring; calibrate on one of {others}, or on a text file.")
    return calibration.model_copy(update={"corpus": corpus})


def identified_perplexity(perplexity: Perplexity, shape: ModelFacts) -> Perplexity:
    """Return the perplexity with its corpus named by its text; a `UserError` where corpus or window do not fit."""
    check_window("Perplexity", str(perplexity), perplexity.window, shape)
    corpus = identify_corpus(perplexity.corpus).id
    known = BY_ID.get(corpus.partition("@")[0])
    if known and known.calibration_only:
        others = ", ".join(c.id for c in CORPORA if not c.calibration_only)
        raise UserError(f"{corpus} is only to calibrate on; measure perplexity on one of {others}, or on a text file.")
    return perplexity.model_copy(update={"corpus": corpus})


def identified_task(task: Task) -> Task:
    """Return the task named by its documents; a `UserError` where there is no such task."""
    return task.model_copy(update={"task": identify_task(task.task).id})


def check_window(what: str, text: str, window: int, shape: ModelFacts) -> None:
    """Raise `UserError` for a window longer than the model has positions."""
    if window > shape.max_window:
        raise UserError(
            f"{what} {text!r} has windows of {window} tokens, but this model was made for {shape.max_window}."
        )


def check_device(device: str) -> None:
    """Raise `UserError` for what is no device's name. Whether this machine has it shows when the run starts."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise unknown("device", device, ("cpu", "cuda", "cuda:0", "mps"))


def check_save_folder(folder: Path) -> None:
    """Raise `UserError` unless the folder is new or empty."""
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"The model cannot be saved in {folder}: {error.strerror}.") from None
    if taken:
        raise UserError(f"Folder {folder} is not empty; give a new or an empty one to save the model in.")
