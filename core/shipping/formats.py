"""All export formats in the order shown to users, and the format that a run requests."""

from __future__ import annotations

from core import plugins
from core.errors import echo, unknown
from core.results import Result
from core.shipping.base import Format
from core.shipping.compressed_tensors import CompressedTensors
from core.shipping.gguf.format import GGUF
from core.shipping.huggingface import HuggingFace
from core.shipping.saving import size_words
from core.specs import RunSpec

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


def requested_format(spec: RunSpec) -> tuple[Format, str]:
    """Return the format and type in which a run saves its model."""
    form = find_format(spec.format)
    return form, spec.precision or form.default(spec.variant)


def type_words(spec: RunSpec) -> str:
    """Return the type of a run's saved model, such as `fp16`; formats except Hugging Face's add their label."""
    return _words(*requested_format(spec))


def usual_words(spec: RunSpec) -> str:
    """Describe the usual difference that the export check of a run finds; empty if unknown."""
    form, kind = requested_format(spec)
    return form.usual_words(kind)


def size_of(result: Result, form: Format, kind: str) -> str:
    """Return the approximate size of a variant in a type of a format: `538 MB, fp32`."""
    return size_words(form.size(result.variant, result.counted, kind), _words(form, kind))


def _words(form: Format, kind: str) -> str:
    return form.type_name(kind) if form is FORMATS[0] else f"{form.label} {form.type_name(kind)}"
