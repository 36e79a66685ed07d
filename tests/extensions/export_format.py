"""A new export format: a folder for transformers whose weights are split into small files."""

from pathlib import Path
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.models.manifest import describing
from core.models.source import ModelSource
from core.shipping.base import ProgressFn, WrittenExport
from core.shipping.huggingface import HuggingFace, loading
from core.specs import Dtype


class SmallFiles(HuggingFace):
    name = "small-files"
    label = "Small files"
    purpose = "A folder for transformers with files of at most 20 kB."

    def write(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        source: ModelSource,
        folder: Path,
        kind: str,
        progress: ProgressFn,
    ) -> WrittenExport:
        model.to(getattr(torch, cast("Dtype", kind)))
        with describing(model, folder) as plain:
            model.save_pretrained(folder, max_shard_size="20KB")
        tokenizer.save_pretrained(folder)
        return WrittenExport(folder, loading(plain))
