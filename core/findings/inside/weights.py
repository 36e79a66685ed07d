"""One matrix before and after a stage, from the dense model and the cache of variants."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from numpy import ndarray

from core.base.errors import UserError
from core.base.paths import cached_variant
from core.base.progress import silent
from core.cache.disk import intact
from core.cache.matrices import read_matrix
from core.findings.inside.layers import removed_blocks
from core.models.source import ModelSource
from core.models.sources import BY_KIND, identify_again
from core.results import LayerReport
from core.specs import VariantSpec

PATCH = 64  # rows and columns


class Matrices(NamedTuple):
    """The weights of one linear, (out, in) each; None if the stage removed the linear."""

    before: ndarray
    after: ndarray | None


def lacking_variants(variant: VariantSpec, stage: int) -> list[VariantSpec]:
    """Return the variants before and after a stage that the cache lacks; the dense model is not among them."""
    both = variant.prefixes[max(stage, 1) : stage + 2]
    return [spec for spec in both if not cached_variant(spec.key).is_dir()]


def matrices(variant: VariantSpec, layers: Sequence[LayerReport], stage: int, name: str) -> Matrices:
    """Read a linear before and after a stage.

    `layers` are the variant's layer reports, and `name` is that of the linear in them.

    Raises:
        UserError: A model is not on this machine, damaged, or has no such linear.
    """
    before, after = variant.prefixes[stage : stage + 2]
    reports = [layer for layer in layers if layer.stage == stage]
    report = next(layer for layer in reports if layer.name == name)
    dense = identify_again(variant.model, variant.revision)
    first = _of_variant(before.key, name) if stage else _of_dense(dense, name)
    removed = removed_blocks(reports)
    if report.block in removed:
        return Matrices(first, None)
    place = report.block - sum(block < report.block for block in removed)  # as later blocks move up
    second = _of_variant(after.key, name.replace(f".{report.block}.", f".{place}.", 1))
    return Matrices(first, second) if second.shape == report.shape else Matrices(first.T, second.T)


def _of_variant(key: str, name: str) -> ndarray:
    folder = cached_variant(key)
    if not intact(folder, _weights):
        raise UserError("The cache lacks these weights, or they are damaged; make the variant again.")
    os.utime(folder)  # the cache deletes the least recently used variants first
    return _needed(folder, name)


def _of_dense(source: ModelSource, name: str) -> ndarray:
    if source.folder is None:
        raise UserError(f"The weights of {source.id} are not on this machine; a run fetches them.")
    return BY_KIND[source.kind].open_model(source, lambda folder, config: _needed(folder, name), _weights, silent)


def _needed(folder: Path, name: str) -> ndarray:
    matrix = read_matrix(folder, name)
    if matrix is None:
        raise UserError(f"The stored model has no linear {name}.")
    return matrix


def _weights(name: str) -> bool:
    return name.endswith(".safetensors")
