"""What a package needs to add export formats: `slimscope.formats`. `slimscope methods --guide` explains it."""

from core.models.source import ModelSource
from core.shipping.base import Format, ProgressFn, Runtime, WrittenExport
from core.shipping.huggingface import HuggingFace, loading

__all__ = ["Format", "HuggingFace", "ModelSource", "ProgressFn", "Runtime", "WrittenExport", "loading"]
