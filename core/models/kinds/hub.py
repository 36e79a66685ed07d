"""Models on the Hugging Face Hub: those of the catalogue by their short names, all others by their hub ids."""

from core.base.errors import UserError
from core.base.progress import Progress
from core.cache import hub
from core.models.catalogue import BY_HUB_ID, BY_ID
from core.models.folders import check_files, read_config, weight_files
from core.models.kinds.base import SourceKind
from core.models.names import is_hub_id
from core.models.source import ModelSource


class HubKind(SourceKind):
    """Models on the Hugging Face Hub, in its own local cache after a download."""

    name = "hub"

    def find(self, model: str, revision: str | None = None) -> ModelSource | None:
        card = BY_ID.get(model) or BY_HUB_ID.get(model)
        if card is None:
            return _source(model, model) if is_hub_id(model) else None
        if card.hub_id is None:
            raise UserError(f"{card.label} has no public weights. {card.note}")
        return _source(card.id, card.hub_id, card.gated)

    def fetch(self, source: ModelSource, progress: Progress) -> ModelSource:
        if source.folder is not None and source.config is not None:
            check_files(source.folder)
            return source
        folder = hub.cached_folder(source.hub_name, source.revision)
        if folder is None or not weight_files(folder):
            folder = hub.download_model(source.hub_name, source.revision, progress)
        return source.model_copy(update={"folder": folder, "config": read_config(folder, source.id)})


def _source(id: str, hub_id: str, gated: bool = False) -> ModelSource:
    commit = hub.revision(hub_id, gated)
    return ModelSource(id=id, revision=commit, kind="hub", hub_id=hub_id, folder=hub.cached_folder(hub_id, commit))
