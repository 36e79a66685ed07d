"""A tiny model trained on text in which each token follows from the one before it."""

from types import SimpleNamespace

import torch

from core.base.errors import CancelledError
from core.base.progress import silent
from core.cache.disk import end_with_digest
from core.data.corpus import CorpusSource, CorpusText
from core.data.windows import TextData
from core.registry import get_stage
from core.training.adapters import add_adapters, merge_adapters
from core.training.examples import Example, Examples
from core.training.loop import Budget, train
from tests.core.engine.applied import shrunk
from tests.core.tiny import tiny

SETTINGS = {"rank": 4, "batch": 4, "learning_rate": 0.01, "dropout": 0.0}


class Killed(BaseException):
    """What a process that is killed in a training cannot handle."""


def data_of(wanted):
    """Training data of an empty text, whose examples a test provides."""
    return TextData(CorpusText(wanted.corpus, CorpusSource(id=wanted.corpus, source="file"), ""), wanted)


def patterned(count=24, length=24):
    """Windows in which each token follows from the one before it, so that there is something to learn."""
    starts = torch.arange(count)[:, None] * 3
    return (starts + 5 * torch.arange(length)) % 97


def examples(held_out=4, batch=4):
    return Examples([Example(row) for row in patterned()], batch, held_out, seed=0)


def cut(model, method, ratio=0.5, pattern=None):
    shrunk(model, method, ratio, pattern)
    return model


def stop_at(step, error=CancelledError, updates=None):
    """Build a progress function that stops a training after a step, and notes the details until then."""

    def progress(stage, done, total, detail=""):
        if updates is not None:
            updates.append(detail)
        if detail.startswith(f"step {step},"):
            raise error

    return progress


def save_state(state, file):
    """Write the state of a training as the loop does."""
    with file.open("w+b") as stream:
        torch.save(state, stream)
        end_with_digest(stream)


def trained(model, recovery="lora", steps=20, patience=0, progress=silent, checkpoint=None, **settings):
    found = get_stage(recovery)
    method = found(found.parse_parameters(SETTINGS | settings))
    teacher = SimpleNamespace(model=tiny())
    parameters = add_adapters(model, SETTINGS["rank"], 16.0, method.parameters.dropout, 0)

    def loss(batch):
        return method.loss(model, teacher, batch)

    done = train(model, parameters, loss, examples(), Budget(steps), 0.01, patience, progress, checkpoint)
    merge_adapters(model)
    return done
