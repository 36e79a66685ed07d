"""Questions to made-up variants, and models that a test loads for them."""

from core.amount import Ratio
from core.answers.models import Loaded
from core.answers.question import Question
from core.evaluation.generation.sampling import Sampling
from core.request.stages import build_stage
from core.specs import VariantSpec
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.tiny import tiny

SIZE = 100  # bytes that a made-up model counts as


def variant(ratio: float = 0.0, model: str = "toy") -> VariantSpec:
    """Return a variant of magnitude pruning, at 0 the dense model."""
    stage = build_stage("magnitude", Ratio(ratio)) if ratio else build_stage("dense")
    return VariantSpec(model=model, revision="r", stages=(stage,))


def question(*ratios: float, prompt: str = "Hello", **sampling) -> Question:
    return Question(prompt=prompt, variants=tuple(map(variant, ratios)), sampling=Sampling(**{"tokens": 4, **sampling}))


def load(spec: VariantSpec) -> Loaded:
    """Load a tiny random model, another one for each variant."""
    model = tiny(vocab_size=257, seed=int(spec.key[:4], 16))
    model.generation_config.eos_token_id = None
    return Loaded(model, byte_tokenizer(), SIZE)
