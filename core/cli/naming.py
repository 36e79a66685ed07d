"""Which models with results a typed name, path or hub id means."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import UserError, short
from core.models.catalogue import BY_HUB_ID
from core.models.folder_sources import folder_revision
from core.models.names import meant_by, resolve_name
from core.models.sources import named_folder
from core.specs import ModelId


def matching_names(typed: str, names: Mapping[ModelId, str]) -> list[str]:
    """Return the display names of the models with results that a typed text means, as `run` takes it.

    Args:
        typed: A display name, an id, a hub id of the catalogue, or the path of a folder.
        names: The display names of the models that there are results of.

    Raises:
        UserError: There is no result of the model in a folder.
    """
    if folder := named_folder(typed):
        revision = folder_revision(folder)
        found = [shown for model, shown in names.items() if model.revision == revision]
        if not found:
            raise UserError(
                f"There is no result of the model in {short(typed)}; `slimscope run {short(typed)} dense` measures it."
            )
        return list(dict.fromkeys(found))
    card = BY_HUB_ID.get(typed)
    return meant_by(card.id if card else typed, names)


def matching_name(typed: str, names: Mapping[ModelId, str]) -> str:
    """Return the one display name that `matching_names` finds; a `UserError` where it finds none or several."""
    found = matching_names(typed, names)
    if len(found) == 1:
        return found[0]
    if len(found) > 1 and named_folder(typed):
        raise UserError(f"The model in {short(typed)} has results as {' and '.join(found)}; name one of them.")
    return resolve_name(typed, names)
