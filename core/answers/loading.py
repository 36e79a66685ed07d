"""Loading of the dense model or of a cached variant for answers; nothing is compressed."""

from functools import lru_cache

from core.answers.models import Loaded
from core.base.errors import UserError
from core.engine.session import Session
from core.engine.variants import load_cached
from core.evaluation.packed import held_bytes
from core.models.sources import identify_again, load_model
from core.models.terms import check_here
from core.notation.chain import format_chain
from core.request.stages import build_stage
from core.specs import RunSpec, VariantSpec


def load(spec: VariantSpec) -> Loaded:
    """Load the dense model or a variant from the cache.

    Raises:
        UserError: The model is not on this machine, or the variant is not in the cache.
    """
    check_here(identify_again(spec.model, spec.revision))
    session = _session(spec.model, spec.revision)
    if session.tokenizer is None:
        raise UserError(f"{spec.model} is an encoder, which generates no text; choose a language model.")
    if spec.is_dense:
        model = load_model(session.source, spec.dtype)
    else:
        cached = load_cached(spec, references=False)
        if cached is None:
            chain = format_chain(spec.stages)
            raise UserError(f"{chain} is not in the cache any more; make it again by its job.")
        model = cached[0]
    return Loaded(model, session.tokenizer, held_bytes(model))


@lru_cache(maxsize=2)
def _session(model: str, revision: str) -> Session:
    """Return the source and the tokenizer of a model, which its variants share."""
    return Session([RunSpec(variant=VariantSpec(model=model, revision=revision, stages=(build_stage("dense"),)))])
