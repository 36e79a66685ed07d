"""The floating-point operations of each measurement, from the model's shape and the tokens to run."""

from itertools import compress

from core.data import files
from core.data.cards import POOL, card
from core.data.corpora import text
from core.data.texts import BY_ID
from core.methods.cost import scanning
from core.models.parts.selection import selects
from core.models.shape import ModelShape
from core.registry import build_method
from core.specs import Perplexity, SensitivityScan, Stage, Task

CHARACTERS = 3.5  # of English text in a token, at least
UNKNOWN_TOKENS = 500_000  # of a corpus that is not here yet
REASONED = 500  # tokens read at once that take as long as writing a line of reasoning


def perplexity_work(shape: ModelShape, wanted: Perplexity) -> float:
    """Return the operations of a perplexity, all windows of its corpus where no number is asked for."""
    tokens = wanted.windows * wanted.window if wanted.windows else corpus_tokens(wanted.corpus)
    return shape.forward(tokens, wanted.window, head=True)


def corpus_tokens(name: str) -> float:
    """Return about how many tokens a corpus has; of one that is not on this machine, more than most have."""
    known = BY_ID.get(name.partition("@")[0])
    return UNKNOWN_TOKENS if known and files.find(known.file) is None else len(text(name)) / CHARACTERS


def stage_work(shape: ModelShape, stage: Stage) -> float:
    """Return the operations of compressing what a stage selects; of blocks between those, of the text going through."""
    method, text = build_method(stage), stage.calibration
    chosen = _selected(shape, stage)
    if not chosen:  # of a family whose linears are not known
        return method.cost(shape, text)
    indices = {block for block, _ in chosen}
    weights = round(shape.block_weights * len(chosen) / len(shape.linears))
    work = method.cost(shape.model_copy(update={"blocks": len(indices), "block_weights": weights}), text)
    if method.data_requirement != "calibration" or text is None:
        return work
    between = (max(indices) + 1 - len(indices)) / shape.blocks
    return work + between * shape.forward(text.windows * text.window, text.window)


def scan_work(shape: ModelShape, stage: Stage, wanted: SensitivityScan) -> float:
    """Return the operations of a scan: of making the stage, one part after the other, and of reading the losses."""
    chosen = _selected(shape, stage)
    indices = {block for block, _ in chosen} or range(shape.blocks)
    parts = len(indices) if wanted.by == "block" else len(chosen) or 7 * shape.blocks
    return stage_work(shape, stage) + scanning(shape, wanted.text, parts)


def _selected(shape: ModelShape, stage: Stage) -> list[tuple[int, str]]:
    """Return the block's index and the name of each linear that a stage selects, where they are known."""
    if stage.layers is None:
        return shape.linears
    return list(compress(shape.linears, selects(stage.layers, shape.blocks, shape.linears)))


def task_work(shape: ModelShape, task: Task) -> float:
    """Return the operations of scoring a task: each document after as many as are demonstrated."""
    length = (1 + task.fewshot.k) * card(task.task).tokens
    return shape.forward(_scored(task) * length, length, head=True)


def prompts_work(shape: ModelShape, task: Task) -> float:
    """Return the operations of building prompts, by reading the documents and what demonstrations are of."""
    known, how = card(task.task), task.fewshot
    read = _scored(task) + (known.pool_documents or POOL)
    compares = how.selector in ("nearest", "likely") or how.order == "similar-last"
    tokens = read * known.tokens if compares else 0
    if how.template == "reasoning":  # token by token
        tokens += _scored(task) * (REASONED + (1 + how.k) * known.tokens)
    return shape.forward(tokens, known.tokens)


def _scored(task: Task) -> int:
    known = card(task.task)
    return min(known.documents, task.limit * known.subjects) if task.limit else known.documents
