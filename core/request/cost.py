"""The floating-point operations of each measurement, from the model's shape and the tokens to run."""

from core.data import files
from core.data.cards import card
from core.data.corpora import text
from core.data.texts import BY_ID
from core.methods.cost import scanning
from core.models.shape import ModelFacts
from core.registry import made
from core.specs import Perplexity, Scan, Stage, Task

CHARACTERS = 3.5  # of English text in a token, at least
UNKNOWN_TOKENS = 500_000  # of a corpus that is not here yet


def perplexity_work(shape: ModelFacts, wanted: Perplexity) -> float:
    """Return the operations of a perplexity, all windows of its corpus where no number is asked for."""
    tokens = wanted.windows * wanted.window if wanted.windows else corpus_tokens(wanted.corpus)
    return shape.forward(tokens, wanted.window, head=True)


def corpus_tokens(name: str) -> float:
    """Return about how many tokens a corpus has; of one that is not on this machine, more than most have."""
    known = BY_ID.get(name.partition("@")[0])
    return UNKNOWN_TOKENS if known and files.find(known.file) is None else len(text(name)) / CHARACTERS


def scan_work(shape: ModelFacts, stage: Stage, wanted: Scan) -> float:
    """Return the operations of a scan: of making the stage, one part after the other, and of reading the losses."""
    parts = shape.blocks if wanted.by == "block" else len(shape.linears) or 7 * shape.blocks
    return made(stage).cost(shape, stage.calibration) + scanning(shape, wanted.text, parts)


def task_work(shape: ModelFacts, task: Task) -> float:
    """Return the operations of a zero-shot task."""
    known = card(task.task)
    documents = min(known.documents, task.limit * known.subjects) if task.limit else known.documents
    return shape.forward(documents * known.tokens, known.tokens, head=True)
