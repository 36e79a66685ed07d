"""Whether this machine can run a job that another one submitted: some models and texts are on one machine only."""

from __future__ import annotations

from pydantic import ValidationError

from core.data.corpora import identify_corpus
from core.errors import UserError
from core.models.sources import identify_again
from core.specs import RunSpec


def runs_here(text: str) -> bool:
    """Return whether this machine has, or can fetch, each model and text that a run names, given as its JSON.

    A run that saves its model writes to a folder of the machine that submitted it, so it runs nowhere else.
    """
    try:
        spec = RunSpec.model_validate_json(text)
        return spec.save is None and _has_models(spec) and _has_texts(spec)
    except (UserError, ValidationError):
        return False


def _has_models(spec: RunSpec) -> bool:
    teachers = [stage.parameters["teacher"] for stage in spec.variant.stages if stage.parameters.get("teacher")]
    named = [(spec.variant.model, spec.variant.revision), *(one.rpartition("@")[::2] for one in teachers)]
    return all(identify_again(model, revision).revision == revision for model, revision in named)


def _has_texts(spec: RunSpec) -> bool:
    names = {stage.calibration.corpus for stage in spec.variant.stages if stage.calibration}
    names |= {text.corpus for text in spec.perplexity} | ({spec.scan.text.corpus} if spec.scan else set())
    return all(identify_corpus(name).id == name for name in names)
