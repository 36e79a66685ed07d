"""The files of variants in export formats: which formats represent them, and the megabytes of the smallest one."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from core.findings.axes import FILE
from core.findings.cost import needs
from core.findings.finding import Reader
from core.findings.numbers.reporting import TableRow, interval_words, ratio_words
from core.request.combining import combine
from core.request.expected.size import Size, size_of_variant
from core.results import Variant
from core.shipping.base import Counted, Format
from core.shipping.formats import file_sizes
from core.shipping.measured import measured_files
from core.specs import ModelId, VariantSpec

FORM = "form"  # column of the label of the smallest file's format
Forms = Sequence[Format]
WithFiles = Callable[[pd.DataFrame], pd.DataFrame]  # adds the columns to rows of `combinations`


def with_files(every: pd.DataFrame, forms: Forms, reader: Reader) -> tuple[pd.DataFrame, WithFiles]:
    """Return rows of `candidates` with the smallest file in one of `forms`: `file_mb`, and `FORM`; NaN without a file.

    The second value adds the columns to rows of `combinations`, from predicted sizes.
    """
    stored = reader.results(list(every["key"]))
    results = [stored.get(key) for key in every["key"]]
    sized = _sized(every, forms, [(one.variant, one.footprint) if one else None for one in results])
    model = next(iter(stored.values())).variant.model_id
    return sized, partial(_with_predicted_files, forms=forms, model=model)


def file_facts(row: pd.Series, variant: Variant) -> list[str]:
    """Return in a few words the size of a row's file, its distance to dense, and what making it needs."""
    distance = file_distance(row)
    measured = "file not measured" if distance is None else f"file measured {distance}"
    return [f"{row[FORM]} {row[FILE.column]:.1f} MB", measured, ", ".join(needs(variant))]


def file_distance(row: TableRow | pd.Series) -> str | None:
    """Return the perplexity of a row's file over dense, measured on the file: `1.05 [1.03, 1.07]`; None if unknown."""
    if (found := measured_files().get((row["key"], row[FORM]))) is None:
        return None
    interval = interval_words(found.ratio_low, found.ratio_high, ratio_words)
    return ratio_words(found.ratio) + (f" {interval}" if interval else "")


def _with_predicted_files(combined: pd.DataFrame, forms: Forms, model: ModelId) -> pd.DataFrame:
    """Return estimated chains of a model with the columns of `with_files`; a chain that no run accepts has no file."""
    variants: list[tuple[VariantSpec, Size | None] | None] = []
    for blocks, tables, dtype in combined[["blocks", "tables", "dtype"]].itertuples(index=False):
        stages = combine(blocks, tables)
        spec = stages and VariantSpec(model=model.name, revision=model.revision, dtype=dtype, stages=stages)
        variants.append((spec, size_of_variant(spec)) if spec else None)
    return _sized(combined, forms, variants)


def _sized(
    rows: pd.DataFrame, forms: Forms, variants: Sequence[tuple[Variant | VariantSpec, Counted | None] | None]
) -> pd.DataFrame:
    labels = {form.label for form in forms}
    known = [file_sizes(*one) if one else [] for one in variants]  # the smallest first
    files = [next((one for one in each if one.format in labels), None) for each in known]
    sizes = [file.bytes / 1e6 if file else math.nan for file in files]
    found = pd.Series([file.format if file else None for file in files], rows.index, dtype=object)
    return rows.assign(file_mb=sizes, **{FORM: found})
