"""Resolution of a typed name, path or hub id to models with results."""

from collections.abc import Mapping

from core.base.errors import UserError, short
from core.models.catalogue import BY_HUB_ID
from core.models.kinds.folder import named_folder, read_folder
from core.models.names import meant_by, resolve_name
from core.specs import ModelId


def matching_names(typed: str, names: Mapping[ModelId, str]) -> list[str]:
    """Return the display names of the models with results that a text matches, by the rules of `run`.

    Args:
        typed: A display name, an id, a hub id of the catalogue, or the path of a folder.
        names: The display names of the models with results.

    Raises:
        UserError: The model in the folder has no results.
    """
    if folder := named_folder(typed):
        revision, _ = read_folder(folder)
        matches = [shown for model, shown in names.items() if model.revision == revision]
        if not matches:
            raise UserError(
                f"The model in {short(typed)} has no results; `slimscope run {short(typed)} dense` measures it."
            )
        return list(dict.fromkeys(matches))
    card = BY_HUB_ID.get(typed)
    return meant_by(card.id if card else typed, names)


def matching_name(typed: str, names: Mapping[ModelId, str]) -> str:
    """Return the only name of `matching_names`; raise `UserError` if it returns none or several."""
    matches = matching_names(typed, names)
    if len(matches) == 1:
        return matches[0]
    if len(matches) > 1 and named_folder(typed):
        raise UserError(f"The model in {short(typed)} has results as {' and '.join(matches)}; name one of them.")
    return resolve_name(typed, names)
