"""Computation of a run: create the variant, measure it, and store each number at once."""

from collections.abc import Iterable
from itertools import chain

import torch
from transformers import PreTrainedModel

from core.base.errors import CancelledError, UserError
from core.base.memory import reuse_freed_memory
from core.base.progress import Progress
from core.cache.shelf import Shelf
from core.engine.circumstances import circumstances
from core.engine.measure import Outcome, measure, sensitivities
from core.engine.session import Session
from core.engine.variants import make_variant
from core.fields import Details
from core.models.facts import load_shape
from core.models.parts.blocks import move
from core.request.execution import choose_execution
from core.request.expected.estimate import stages_to_run
from core.results import Result
from core.shipping.export import export
from core.specs import RunSpec
from core.store.store import Store


def execute(spec: RunSpec, session: Session, store: Store, progress: Progress) -> None:
    """Create the variant, and measure and store everything in `spec`; stream the model if it exceeds the memory."""
    reuse_freed_memory()
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    shape = load_shape(session.source)
    execution = choose_execution(spec, stages_to_run(spec), shape)
    if execution.refusal:
        raise UserError(execution.refusal)
    result = store.get(spec.variant.key)
    session.memory = execution.budget
    session.shelf = Shelf(execution.disk, session.weights) if execution.streams else None
    outcomes: list[Iterable[Outcome]] = []
    if result is None or not spec.only_scans:
        model, result = make(spec, session, store, progress)
        move(model, session.device)
        outcomes.append(measure(model, spec, session, progress))
    if spec.scan:
        outcomes.append(sensitivities(spec.variant, spec.scan, session, progress))
    how: Details = {"execution": "streaming"} if session.shelf else {}
    for rows, samples in chain.from_iterable(outcomes):
        known = [
            row.model_copy(update={"details": circumstances(None, spec.device) | how | row.details}) for row in rows
        ]
        if samples is not None:  # before the numbers, as paired differences need them
            store.put_samples(spec.variant.key, known[0], samples)
        store.put(result.model_copy(update={"measurements": tuple(known)}))
    if spec.save and session.export:
        stored = store.stored(spec.variant.key)  # last, as the card needs all numbers
        move(model, torch.device("cpu"))  # formats pack weights with numpy
        export(model, session.tokenizer, stored, *session.export, progress)  # in another precision it changes the model


def make(spec: RunSpec, session: Session, store: Store, progress: Progress) -> tuple[PreTrainedModel, Result]:
    """Create the variant or load it from the cache, store its result, and return the model, on the CPU, and the result.

    Raises `UserError` if the variant cannot be created. After a `CancelledError`, the best weights of a recovery are
    cached and their result stored.
    """
    try:
        model, result = make_variant(spec.variant, session, progress, spec.force, store.put)
    except CancelledError as stop:
        if stop.kept:
            store.put(stop.kept)
        raise
    store.put(result)
    return model, result
