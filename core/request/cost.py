"""The floating-point operations of each step of a run, from the model's shape and the tokens to run."""

import math

from core.data import files
from core.data.cards import card
from core.data.corpora import text
from core.data.texts import BY_ID
from core.methods.base import Method
from core.models.shape import ModelFacts
from core.registry import get_method, get_stage
from core.request.stages import parse_parameters
from core.specs import Perplexity, Stage, Task
from core.training.base import AT_ONCE, resolved_batch

SVD = 20  # operations of decomposing a matrix, over its size times its smaller side
SELECTION = 500  # operations of ranking one weight and of counting it afterwards
CHARACTERS = 3.5  # of English text in a token, at least
UNKNOWN_TOKENS = 500_000  # of a corpus that is not here yet


def forward(shape: ModelFacts, tokens: float, window: int, head: bool = False) -> float:
    """Operations of running tokens in windows through the blocks, and through the vocabulary with `head`."""
    attention = 4 * window * shape.hidden * shape.blocks  # a token: scores and their weighted sum
    return tokens * (2 * shape.block_weights + attention + (2 * shape.vocabulary * shape.hidden if head else 0))


def compression_work(shape: ModelFacts, stage: Stage) -> float:
    """Return the operations of a stage: forwards over the calibration text, Gram matrices, factors, sweeps."""
    method = get_method(stage.method)
    if method.family == "dense":
        return 0
    work = SELECTION * shape.block_weights
    if method.family == "low rank":  # a singular value decomposition of each linear
        work += SVD * shape.block_weights * shape.hidden
    if stage.calibration is None:
        return work
    tokens = stage.calibration.windows * stage.calibration.window
    work += _passes(method, stage) * forward(shape, tokens, stage.calibration.window, head=method.needs == "gradient")
    widths = {"q": shape.hidden, "o": shape.hidden, "up": shape.hidden, "down": shape.ffn}  # one role an input tensor
    grams = [width for role, width in widths.items() if method.needs_of(role) == "gram"]
    work += shape.blocks * sum(tokens * width**2 + 2 * width**3 for width in grams)
    if method.needs == "gram" and method.family != "low rank":  # what follows: a sweep, or scores, in each linear
        work += 2 * shape.block_weights * max(shape.hidden, shape.block_weights // shape.blocks // (4 * shape.hidden))
    return work


def _passes(method: type[Method], stage: Stage) -> int:
    """Return how often the calibration text runs through the blocks; a backward pass counts as two."""
    if method.needs == "gradient":
        return 3
    made = method(parse_parameters(method, stage.parameters))
    walks = made.walks if method.scope == "block" else True
    passes = 1 if getattr(made.parameters, "true_sequential", True) else 2
    return max(1, walks * passes + bool(made.observations))


def training_work(shape: ModelFacts, stage: Stage) -> float:
    """Return the operations of a recovery; a backward pass through frozen weights costs as much as a forward."""
    method = get_stage(stage.method)
    wanted = parse_parameters(method, stage.parameters)
    seen = min(wanted.epochs * stage.calibration.windows, (wanted.steps or math.inf) * resolved_batch(wanted))
    passes = 2 + getattr(method, "compares", False)
    return passes * forward(shape, seen * stage.calibration.window, stage.calibration.window, head=True)


def answer_steps(stage: Stage) -> int:
    """Return the decoding steps of a teacher that answers prompts, of which several are answered together."""
    longest = getattr(parse_parameters(get_stage(stage.method), stage.parameters), "answer_tokens", 0)
    return longest * math.ceil(stage.calibration.windows / AT_ONCE)


def training_limit(stage: Stage) -> float:
    """Return the seconds after which a recovery ends, whatever it has seen."""
    return 60 * (parse_parameters(get_stage(stage.method), stage.parameters).minutes or math.inf)


def perplexity_work(shape: ModelFacts, wanted: Perplexity) -> float:
    """Return the operations of a perplexity, all windows of its corpus where no number is asked for."""
    tokens = wanted.windows * wanted.window if wanted.windows else corpus_tokens(wanted.corpus)
    return forward(shape, tokens, wanted.window, head=True)


def corpus_tokens(name: str) -> float:
    """Return about how many tokens a corpus has; of one that is not on this machine, more than most have."""
    known = BY_ID.get(name.partition("@")[0])
    return UNKNOWN_TOKENS if known and files.find(known.file) is None else len(text(name)) / CHARACTERS


def task_work(shape: ModelFacts, task: Task) -> float:
    """Return the operations of a zero-shot task."""
    known = card(task.task)
    documents = min(known.documents, task.limit * known.subjects) if task.limit else known.documents
    return forward(shape, documents * known.tokens, known.tokens, head=True)
