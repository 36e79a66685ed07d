"""Checks whether this machine can run a job of another one, as some models and texts exist on one machine only."""

from __future__ import annotations

from pydantic import ValidationError

from core.base.errors import UserError
from core.data.corpora import identify_corpus
from core.models.sources import identify_again
from core.request.stages import check_version
from core.specs import RunSpec


def lacking_here(text: str) -> str | None:
    """Return why only the submitting machine can run a job, to continue its name; None if this one can, too.

    A run (JSON) that saves its model must write to a folder of the submitting machine.
    """
    try:
        spec = RunSpec.model_validate_json(text)
    except (UserError, ValidationError) as error:
        return str(error)
    if spec.save is not None:
        return "it saves its model there"
    try:
        for stage in spec.variant.stages:
            check_version(stage, "This run")
    except UserError:
        return "its methods have other versions there"
    for reason, checks in (
        ("its model folder is only there", (identify_again(*one).revision == one[1] for one in needed_models(spec))),
        ("its text is only there", (identify_corpus(name).id == name for name in needed_texts(spec))),
    ):
        try:
            if not all(checks):
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
