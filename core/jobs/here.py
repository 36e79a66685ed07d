"""Checks whether a job can run on this machine now.

Some models and texts exist on one machine only. Runs share parts: the dense baseline, and the variants of the first
stages of a chain. A job waits while another one computes a part that both need. So each part is computed once, and all
others at once.
"""

from collections.abc import Iterable
from functools import lru_cache

from pydantic import ValidationError

from core.base.errors import UserError
from core.cache.storage import shared_storage
from core.data.corpora import identify_corpus
from core.models.sources import identify_again
from core.request.baseline import baseline, remaining_run
from core.request.stages import check_version
from core.specs import Frozen, RunSpec
from core.store.store import Store


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


class Parts(Frozen):
    """What a run computes that other runs may need."""

    dense: RunSpec | None  # the measurements of the dense model
    variants: frozenset[str]  # keys of compressed variants: its own, and those of its first stages


@lru_cache(maxsize=4096)  # a supervisor looks at each queued job twice a second
def parts_of(text: str) -> Parts:
    """Return the parts of a run, given as JSON."""
    spec = RunSpec.model_validate_json(text)
    alone = {"force": False, "threads": None, "memory": None}  # what does not change the numbers
    dense = spec if spec.variant.is_dense else baseline(spec)
    keys = (prefix.key for prefix in spec.variant.prefixes[1:] if not prefix.is_dense)
    return Parts(dense=dense and dense.model_copy(update=alone), variants=frozenset(keys))


def must_wait(job: str, running: Iterable[str], store: Store, local: bool) -> bool:
    """Return whether a job (JSON of its run) needs a part that a running one has not made yet.

    Models are shared by the jobs of one machine (`local`), or by all that have a storage.
    """
    try:
        mine = parts_of(job)
        models_shared = local or shared_storage() is not None
        for other in map(parts_of, running):
            if mine.dense is not None and mine.dense == other.dense and remaining_run(mine.dense, store):
                return True
            if models_shared and any(store.get(key) is None for key in mine.variants & other.variants):
                return True
    except (ValidationError, UserError):
        pass  # the process of the job reports what is wrong with it
    return False
