"""Floating-point operations of stages and measurements, from the model's shape and the tokens to process."""

from itertools import compress

from core.data import files
from core.data.cards import POOL, card
from core.data.corpora import open_corpus
from core.data.texts import BY_ID
from core.methods.cost import scanning
from core.models.parts.selection import selects
from core.models.shape import ModelShape
from core.registry import build_method
from core.specs import Perplexity, SensitivityScan, Stage, Task

CHARACTERS = 3.5  # per token of English text, at least
UNKNOWN_TOKENS = 500_000  # of a corpus that is not downloaded yet
REASONED = 500  # prefill tokens that take as long as generating one line of reasoning


def perplexity_work(shape: ModelShape, wanted: Perplexity) -> float:
    """Count the operations of a perplexity."""
    known = BY_ID.get(wanted.corpus.partition("@")[0])
    if wanted.windows:
        tokens: float = wanted.windows * wanted.window
    elif known and files.find(known.file) is None:
        tokens = UNKNOWN_TOKENS
    else:
        tokens = len(open_corpus(wanted.corpus).text) / CHARACTERS
    return shape.forward(tokens, wanted.window, head=True)


def stage_work(shape: ModelShape, stage: Stage) -> float:
    """Count the operations of a stage: it compresses selected blocks and only runs text through those between."""
    method, text = build_method(stage), stage.calibration
    chosen = _selected(shape, stage)
    if not chosen:  # of a family with unknown linears
        return method.cost(shape, text)
    indices = {block for block, _ in chosen}
    weights = round(shape.block_weights * len(chosen) / len(shape.linears))
    work = method.cost(shape.model_copy(update={"blocks": len(indices), "block_weights": weights}), text)
    if method.data_requirement != "calibration" or text is None:
        return work
    between = (max(indices) + 1 - len(indices)) / shape.blocks
    return work + between * shape.forward(text.windows * text.window, text.window)


def scan_work(shape: ModelShape, stage: Stage, wanted: SensitivityScan) -> float:
    """Count the operations of a scan: compressing all parts one by one, and computing the losses."""
    chosen = _selected(shape, stage)
    indices = {block for block, _ in chosen} or range(shape.blocks)
    parts = len(indices) if wanted.by == "block" else len(chosen) or 7 * shape.blocks
    return stage_work(shape, stage) + scanning(shape, wanted.text, parts)


def _selected(shape: ModelShape, stage: Stage) -> list[tuple[int, str]]:
    """Return the block index and name of each linear that a stage selects; empty if linears are unknown."""
    if stage.layers is None:
        return shape.linears
    return list(compress(shape.linears, selects(stage.layers, shape.blocks, shape.linears)))


def task_work(shape: ModelShape, task: Task) -> float:
    """Count the operations of scoring a task, with few-shot examples before each document."""
    length = (1 + task.fewshot.k) * card(task.task).tokens
    return shape.forward(_scored(task) * length, length, head=True)


def prompts_work(shape: ModelShape, task: Task) -> float:
    """Count the operations of building prompts, which may run the dense model on documents and the pool."""
    known, how = card(task.task), task.fewshot
    read = _scored(task) + (known.pool_documents or POOL)
    compares = how.selector in ("nearest", "likely") or how.order == "similar-last"
    tokens = read * known.tokens if compares else 0
    if how.template == "reasoning":  # generated token by token
        tokens += _scored(task) * (REASONED + (1 + how.k) * known.tokens)
    return shape.forward(tokens, known.tokens)


def _scored(task: Task) -> int:
    known = card(task.task)
    return min(known.documents, task.limit * known.subjects) if task.limit else known.documents
