"""GGUF files, which hold a compressed model for llama.cpp; transformers reads them with dequantised weights."""

import os
from pathlib import Path

from core.base.errors import UserError
from core.base.paths import typed_path
from core.base.progress import Progress
from core.cache.disk import file_sha256
from core.cache.folders import cached_text
from core.models.kinds.base import SourceKind
from core.models.source import ModelSource

ENDING = ".gguf"


class GGUFKind(SourceKind):
    """Models in GGUF files, each named by its path or by that of a folder without another model."""

    name = "gguf"

    def find(self, model: str, revision: str | None = None) -> ModelSource | None:
        file = _file_of(typed_path(model)) if model else None
        if file is None:
            return None
        try:
            digest = cached_text("gguf", [file], lambda: _checked(file))
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}.") from None
        return ModelSource(id=file.name, revision=f"sha256:{digest[:12]}", kind="gguf", folder=file)

    def fetch(self, source: ModelSource, progress: Progress) -> ModelSource:
        """Return the source with the configuration that transformers derives from the file's fields."""
        from transformers import AutoConfig

        from core.models.gguf_files import check_blocks, named
        from core.models.loading import sentences

        if source.config is not None:
            return source
        with sentences(f"{source.id} could not be read as a GGUF file"):
            check_blocks(source.files)
            config = AutoConfig.from_pretrained(**named(source.files)).to_dict()
        return source.model_copy(update={"config": config})


def _checked(file: Path) -> str:
    """Return the digest of a GGUF file; raise `UserError` for a file that is damaged or exceeds a limit."""
    from core.models.gguf_files import PlainReader
    from core.models.loading import sentences

    with sentences(f"{file.name} could not be read as a GGUF file"):
        PlainReader(file)
    return file_sha256(file)


def _file_of(path: Path) -> Path | None:
    """Return the GGUF file that a path names, or the only one in a folder without a `config.json`."""
    if os.path.isfile(path):
        return path.resolve() if path.suffix == ENDING else None
    if not os.path.isdir(path) or os.path.exists(path / "config.json"):
        return None
    files = sorted(path.glob(f"*{ENDING}"))
    if len(files) > 1:
        raise UserError(f"{path} has {len(files)} GGUF files; give the path of one of them.")
    return files[0].resolve() if files else None
