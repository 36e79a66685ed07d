"""Checks whether this machine can run a job of another one, as some models and texts exist on one machine only."""

from __future__ import annotations

from pydantic import ValidationError

from core.base.errors import UserError
from core.data.corpora import identify_corpus
from core.models.sources import identify_again
from core.request.stages import check_version
from core.specs import RunSpec


def runs_here(text: str) -> bool:
    """Return whether this machine has or can download each model and text of a run, given as JSON."""
    try:
        return lacking_here(RunSpec.model_validate_json(text)) is None
    except ValidationError:
        return False


def lacking_here(spec: RunSpec) -> str | None:
    """Return why only the submitting machine can run a job, to continue its name; None if this one can, too.

    A run that saves its model must write to a folder of the submitting machine.
    """
    if spec.save is not None:
        return "it saves its model there"
    for has, reason in (
        (_has_versions, "its methods have other versions there"),
        (_has_models, "its model folder is only there"),
        (_has_texts, "its text is only there"),
    ):
        try:
            if not has(spec):
                return reason
        except UserError:
            return reason
    return None


def needed_models(spec: RunSpec) -> frozenset[tuple[str, str]]:
    """Return each model that a run reads, with its revision."""
    named = (stage.parameters["teacher"] for stage in spec.variant.stages if stage.parameters.get("teacher"))
    teachers = (teacher.rpartition("@") for teacher in named)
    return frozenset([(spec.variant.model, spec.variant.revision), *((id, revision) for id, _, revision in teachers)])


def needed_texts(spec: RunSpec) -> frozenset[str]:
    """Return the names of the texts that a run reads."""
    names = {stage.calibration.corpus for stage in spec.variant.stages if stage.calibration}
    names |= {text.corpus for text in spec.perplexity} | ({spec.scan.text.corpus} if spec.scan else set())
    return frozenset(names)


def needed_methods(spec: RunSpec) -> frozenset[tuple[str, int]]:
    """Return each method that a run uses, with its version."""
    return frozenset((stage.method, stage.version) for stage in spec.variant.stages)


def _has_versions(spec: RunSpec) -> bool:
    for stage in spec.variant.stages:
        check_version(stage, "This run")
    return True


def _has_models(spec: RunSpec) -> bool:
    return all(identify_again(model, revision).revision == revision for model, revision in needed_models(spec))


def _has_texts(spec: RunSpec) -> bool:
    return all(identify_corpus(name).id == name for name in needed_texts(spec))
