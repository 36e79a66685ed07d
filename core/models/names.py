"""What models are called where several checkpoints share a name, and which model a typed name means.

A model is a name and a revision. Its display name is the name alone while no other known revision has it, and
`ckpt@131c884a` where one does. Everything that groups, lists or links models uses display names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from core.errors import UserError, echo
from core.specs import PUBLISHED, UNKNOWN, ModelId

SHORT = 8  # digits of a revision in a display name
LEAST_DIGITS = 4  # of a revision that are enough to name it
UNTOLD = (UNKNOWN, PUBLISHED)  # revisions of what was measured elsewhere, which do not tell the checkpoint


def short_revision(revision: str) -> str:
    """Return the first digits of a digest or a commit, the version of a wheel, or the whole of another revision."""
    text = re.split("==|:", revision)[-1]
    return text[:SHORT] if re.fullmatch("[0-9a-f]{12,}", text) else text


def display_names(models: Iterable[ModelId]) -> dict[ModelId, str]:
    """Return what each of some models is called among them.

    Rows of an untold revision (imported or published) belong to the model of their name while at most one revision of
    it is known; with several, they are called `ckpt@unknown` or `ckpt@published`.
    """
    every = list(dict.fromkeys(models))
    known = Counter(model.name for model in every if model.revision not in UNTOLD)
    alone = {model.name for model in every if known[model.name] < 2}
    short = {model: f"{model.name}@{short_revision(model.revision)}" for model in every if model.name not in alone}
    used = Counter([*alone, *short.values()])
    whole = {model: f"{model.name}@{model.revision}" for model, name in short.items() if used[name] > 1}
    return {model: (short | whole).get(model, model.name) for model in every}


def same_model(one: ModelId, other: ModelId) -> bool:
    """Whether two models are one checkpoint, as far as their revisions tell."""
    return len(set(display_names([one, other]).values())) == 1


def has_revision(model: ModelId, text: str) -> bool:
    """Whether `text` names the revision of a model: the whole of it, its short form, or enough first digits."""
    digits = re.split("==|:", model.revision)[-1]
    return text in (model.revision, digits) or (len(text) >= LEAST_DIGITS and digits.startswith(text))


def meant_by(typed: str, names: Mapping[ModelId, str]) -> list[str]:
    """Return the display names that a typed name may mean: `ckpt`, `ckpt@131c884a` or with any digits of a revision."""
    if typed in names.values():
        return [typed]
    name, _, revision = typed.rpartition("@")
    found = [shown for model, shown in names.items() if model.name == typed]
    found += [shown for model, shown in names.items() if model.name == name and has_revision(model, revision)]
    return list(dict.fromkeys(found))


def resolve_name(typed: str, names: Mapping[ModelId, str]) -> str:
    """Return the one display name that a typed name means; a `UserError` names those that there are."""
    found = meant_by(typed, names)
    if not found:
        known = ", ".join(dict.fromkeys(names.values())) or "no model"
        raise UserError(f"There is no result of {echo(typed)}; there are results of {known}.")
    if len(found) > 1:
        raise UserError(f"{echo(typed)} may be {' or '.join(found)}; name one of them.")
    return found[0]
