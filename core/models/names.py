"""Display names of models, and the model that a typed name refers to.

A model is a name and a revision. Its display name is the name alone if no other known revision has that name, else
`ckpt@131c884a`. Everything that groups, lists or links models uses display names.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from core.base.errors import UserError, echo
from core.specs import PUBLISHED, UNKNOWN, ModelId

SHORT = 8  # digits of a revision in a display name
HUB_ID = re.compile(r"(?!\.)[\w.-]+/[\w.-]+")  # a path may start with a point
LEAST_DIGITS = 4  # digits that suffice to name a revision
UNTOLD = (UNKNOWN, PUBLISHED)  # revisions of results measured elsewhere, whose checkpoint is unknown


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a hub id."""
    return HUB_ID.fullmatch(name) is not None


def short_revision(revision: str) -> str:
    """Return the first digits of a digest or commit, the version of a wheel, or another revision in full."""
    text = re.split("==|:", revision)[-1]
    return text[:SHORT] if re.fullmatch("[0-9a-f]{12,}", text) else text


def display_names(models: Iterable[ModelId]) -> dict[ModelId, str]:
    """Return the display name of each model among the given ones.

    Imported and published rows have no known revision. They belong to the model of their name if at most one of its
    revisions is known. Otherwise they are called `ckpt@unknown` or `ckpt@published`.
    """
    every = list(dict.fromkeys(models))
    known = Counter(model.name for model in every if model.revision not in UNTOLD)
    alone = {model.name for model in every if known[model.name] < 2}
    short = {model: f"{model.name}@{short_revision(model.revision)}" for model in every if model.name not in alone}
    used = Counter([*alone, *short.values()])
    whole = {model: f"{model.name}@{model.revision}" for model, name in short.items() if used[name] > 1}
    return {model: (short | whole).get(model, model.name) for model in every}


def same_model(one: ModelId, other: ModelId) -> bool:
    """Return whether two models are one checkpoint, as far as their revisions show."""
    return len(set(display_names([one, other]).values())) == 1


def has_revision(model: ModelId, text: str) -> bool:
    """Return whether `text` is the revision of a model: in full, its short form, or enough first digits."""
    digits = re.split("==|:", model.revision)[-1]
    return text in (model.revision, digits) or (len(text) >= LEAST_DIGITS and digits.startswith(text))


def meant_by(typed: str, names: Mapping[ModelId, str]) -> list[str]:
    """Return the display names that a typed name can mean: `ckpt`, or `ckpt@` and digits of a revision."""
    if typed in names.values():
        return [typed]
    name, _, revision = typed.rpartition("@")
    found = [shown for model, shown in names.items() if model.name == typed]
    found += [shown for model, shown in names.items() if model.name == name and has_revision(model, revision)]
    return list(dict.fromkeys(found))


def resolve_name(typed: str, names: Mapping[ModelId, str]) -> str:
    """Return the one display name that a typed name means; raise `UserError` with the known names otherwise."""
    found = meant_by(typed, names)
    if not found:
        known = ", ".join(dict.fromkeys(names.values())) or "no model"
        raise UserError(f"There is no result of {echo(typed)}; there are results of {known}.")
    if len(found) > 1:
        raise UserError(f"{echo(typed)} is ambiguous; give {' or '.join(found)}.")
    return found[0]
