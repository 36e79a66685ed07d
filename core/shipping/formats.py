"""All export formats in the order shown to users, the format that a run requests, and the sizes of files."""

from collections.abc import Iterable
from contextlib import suppress
from math import nan
from pathlib import Path
from typing import NamedTuple

from core.base import plugins
from core.base.errors import UserError, echo, unknown
from core.models.source import ModelSource
from core.models.sources import identify_again
from core.notation.formatting import format_number
from core.results import Result, Variant
from core.shipping.base import Counted, Format
from core.shipping.compressed_tensors import CompressedTensors
from core.shipping.gguf.format import GGUF
from core.shipping.huggingface import HuggingFace
from core.shipping.proof import read_proof, size_words
from core.specs import RunSpec, VariantSpec

BUILT_IN: tuple[Format, ...] = (HuggingFace(), GGUF(), CompressedTensors())


def _plugin(entry: str, found: object) -> tuple[str, Format]:
    """Return the name and an instance of a plug-in's format; raise `ValueError` if it is no format."""
    if not (isinstance(found, type) and issubclass(found, Format)):
        raise ValueError(f"{echo(str(found))} is not a subclass of slimscope.formats.Format")
    return found.name, found()


PLUG_INS = plugins.load("format", [form.name for form in BUILT_IN], _plugin)
FORMATS = (*BUILT_IN, *PLUG_INS.usable.values())


def find_format(name: str) -> Format:
    """Return the format of that name; raise `UserError` with the nearest name otherwise."""
    for one in FORMATS:
        if one.name == name:
            return one
    raise unknown("format", name, [one.name for one in FORMATS])


def programs() -> dict[str, list[Format]]:
    """Return the formats that each program loads."""
    names = dict.fromkeys(form.program for form in FORMATS)
    return {name: [form for form in FORMATS if form.program == name] for name in names}


def requested_format(spec: RunSpec) -> tuple[Format, str]:
    """Return the format and type in which a run saves its model."""
    form = find_format(spec.format)
    return form, spec.precision or form.default(spec.variant)


def type_words(spec: RunSpec) -> str:
    """Return the type of a run's saved model, such as `fp16`; formats except Hugging Face's add their label."""
    return _words(*requested_format(spec))


def saved_words(spec: RunSpec) -> str:
    """Describe the saved model of a run: its folder, the current size of the folder, and its export check."""
    folder, (form, kind) = Path(str(spec.save)), requested_format(spec)
    try:
        size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        proof = read_proof(folder)
    except OSError as error:
        return f"Saved to {folder} as {_words(form, kind)}, but the folder cannot be read: {error.strerror}."
    saved = f"Saved to {folder}, {size_words(size, _words(form, kind))}."
    if proof is None:
        return saved
    return " ".join(filter(None, [saved, proof.words(), form.usual_words(kind) if proof.reason is None else ""]))


def size_of(result: Result, source: ModelSource, form: Format, kind: str) -> str:
    """Return the approximate size of a variant in a type of a format: `538 MB, fp32`."""
    return size_words(form.size(result.variant, source, result.counted, kind), _words(form, kind))


class FileSize(NamedTuple):
    """The size of a variant in a format, in the type that loses least."""

    format: str  # its label
    type: str  # as users write it
    bytes: float

    def words(self) -> str:
        """Return type and size: `Q4_0 78.2 MB`."""
        return f"{self.type} {format_number(self.bytes / 1e6)} MB"


def file_sizes(variant: Variant | VariantSpec, counted: Counted | None) -> list[FileSize]:
    """Return the sizes of a variant in the formats that can represent it, the smallest first; none if they are unknown.

    `counted` has its weights, counted or predicted.
    """
    sizes: list[FileSize] = []
    if counted is None:
        return sizes
    try:
        source = identify_again(variant.model, variant.revision)
    except UserError:  # the model is gone
        return sizes
    for form in FORMATS:
        with suppress(UserError):
            form.check(variant, source)
            kind = form.default(variant)
            size = form.size(variant, source, counted, kind)
            sizes.append(FileSize(form.label, form.type_name(kind), size))
    return sorted(sizes, key=lambda one: one.bytes)


def file_sentence(variant: Variant | VariantSpec, counted: Counted | None) -> str:
    """Return a sentence on the `file_sizes` of a variant; empty if there are none."""
    words = [f"{one.format} {one.words()}" for one in file_sizes(variant, counted)]
    return f"As a file: {'; '.join(words)}." if words else ""


def file_columns(variant: Variant | VariantSpec, counted: Counted | None) -> dict[str, str]:
    """Return the `file_sizes` of a variant in words by format, empty for one that cannot represent it."""
    known = {one.format: one.words() for one in file_sizes(variant, counted)}
    return {form.label: known.get(form.label, "") for form in reversed(FORMATS)}


def file_megabytes(results: Iterable[Result | None]) -> dict[str, list[float]]:
    """Return the `file_sizes` of results in MB by the title of their format's column, NaN if unknown."""
    sizes = [[] if one is None else file_sizes(one.variant, one.footprint) for one in results]
    each = [{one.format: one.bytes / 1e6 for one in some} for some in sizes]
    return {f"{form.label} (MB)": [known.get(form.label, nan) for known in each] for form in reversed(FORMATS)}


def _words(form: Format, kind: str) -> str:
    return form.type_name(kind) if form is FORMATS[0] else f"{form.label} {form.type_name(kind)}"
