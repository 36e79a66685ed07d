"""Removal of whole blocks, or of entries of the hidden states, from a model in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.context import Context, StageInput, StageResult
from core.engine.walking.observe import collect_block_views
from core.evaluation.layers import ReportFields, unit_reports
from core.methods.structured.base import BlockRemovalMethod, HiddenSizeMethod
from core.models.removal.depth import keep_blocks, keep_hidden

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def remove_blocks(
    model: PreTrainedModel, method: BlockRemovalMethod, given: StageInput, context: Context
) -> StageResult:
    """Remove whole blocks in place; the report uses the linears' names before the removal."""
    views = collect_block_views(model, method, given, context)
    if not given.share:
        return StageResult([])
    kept = method.keep_blocks(views, given.share)
    keep_blocks(model, given.blocks, kept)
    removed: ReportFields = {"shape": (0, 0), "sparsity": 1.0, "note": "block removed"}
    reports = []
    for view in views:
        more = {} if view.units.block in kept else dict.fromkeys(view.units.linears, removed)
        reports += unit_reports(view.units, view.units.sizes, more=more)
    return StageResult(reports)


def remove_hidden(model: PreTrainedModel, method: HiddenSizeMethod, given: StageInput, context: Context) -> StageResult:
    """Remove entries of the hidden states from every matrix, in place."""
    views = collect_block_views(model, method, given, context)
    if not given.share:
        return StageResult([])
    before = [view.units.sizes for view in views]
    keep_hidden(model, given.blocks, method.keep_hidden(views, given.share))
    return StageResult(
        [done for view, sizes in zip(views, before, strict=True) for done in unit_reports(view.units, sizes)]
    )
