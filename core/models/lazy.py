"""Classes of transformers for annotations; importing them takes seconds, even where transformers itself is loaded."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
else:
    PreTrainedConfig = PreTrainedModel = PreTrainedTokenizerBase = object

__all__ = ["PreTrainedConfig", "PreTrainedModel", "PreTrainedTokenizerBase"]
