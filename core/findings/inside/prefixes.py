"""Prefixes of chains: the nodes of a family tree, their labels and their order among siblings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.amount import Amount
from core.findings.numbers.frame import OWN_GRID
from core.notation.chain import DENSE
from core.notation.formatting import label, non_default_parameters
from core.registry import BY_NAME, family_of, on_own_grid
from core.results import Variant
from core.specs import Stage, VariantSpec

PLACES = {name: place for place, name in enumerate(BY_NAME)}  # the registry's order of methods
Place = tuple[int, str, bool, str, str, int, bool, Amount | None, str]


class Prefix(NamedTuple):
    """The first stages of a chain; none are the dense model."""

    id: str  # the key that it has as a variant
    parent: str | None
    stages: tuple[Stage, ...]
    model: str
    dtype: str

    @property
    def stage(self) -> Stage:
        """The last stage."""
        return self.stages[-1] if self.stages else Stage(method=DENSE)

    @property
    def name(self) -> str:
        """The label of the last stage's method."""
        stage = self.stage
        return f"{stage.parameters['label']} ({stage.method})" if stage.is_external else label(stage.method)

    @property
    def amount(self) -> Amount | None:
        """The amount of the last stage; None if it removes nothing."""
        return self.stage.amount if self.stage.removes else None

    @property
    def own_grid(self) -> bool:
        """Whether its grid is that of the model's file, so that it changes nothing."""
        return bool(self.stages) and on_own_grid(self.model, self.stages)

    @property
    def settings(self) -> str:
        """The other parameters of the last stage that differ from their defaults."""
        layers = [f"layers {self.stage.layers}"] if self.stage.layers else []
        return ", ".join([*non_default_parameters(self.stage), *layers]) + OWN_GRID * self.own_grid

    @property
    def stage_label(self) -> str:
        """The last stage: `GPTQ, 4 bit, group size 128`."""
        return _joined([self.name, self.amount.label if self.amount else "", self.settings])

    @property
    def data(self) -> str:
        """The calibration or training data of the last stage, "" without any."""
        return "" if self.stage.calibration is None else str(self.stage.calibration)

    @property
    def seed(self) -> str:
        """The seed of the last stage, "" if it draws nothing."""
        return "" if self.stage.seed is None else f"seed {self.stage.seed}"

    @property
    def family(self) -> str:
        """The family of the first stage; `imported` for an imported variant."""
        if not self.stages:
            return DENSE
        first = self.stages[0]
        return family_of(first.method, first.is_external)


def prefixes(variant: Variant) -> Iterator[Prefix]:
    """Yield the prefixes of a variant, from the dense model to the whole chain.

    An imported variant has no other prefix than the dense model.
    """
    stages = tuple(stage for stage in variant.stages if stage.method != DENSE)
    spec = VariantSpec(model=variant.model, revision=variant.revision, dtype=variant.dtype, stages=variant.stages)
    parent: str | None = None
    for prefix in spec.model_copy(update={"stages": stages}).prefixes:
        count = len(prefix.stages)
        if variant.is_external and 0 < count < len(stages):
            continue
        id = variant.key if count == len(stages) else prefix.key  # the key of an imported variant is no chain of hashes
        yield Prefix(id, parent, prefix.stages, variant.model, variant.dtype)
        parent = id


def place(prefix: Prefix) -> Place:
    """Return the sort key among siblings: the registry's order of methods, then series, then amounts."""
    stage, amount, settings = prefix.stage, prefix.amount, prefix.settings
    method = PLACES.get(stage.method, len(PLACES)), stage.method if prefix.stages else prefix.dtype
    return *method, bool(settings), settings, prefix.data, stage.seed or 0, amount is not None, amount, prefix.id


def labels(siblings: Sequence[Prefix]) -> list[str]:
    """Return unambiguous labels: the last stage, and further parts such as its data where labels are else equal."""
    return distinct([(one.stage_label, one.data, one.seed, one.dtype, one.id[:8]) for one in siblings])


def distinct(parts: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each sequence of parts: the first part, and further ones where several names are equal.

    There are equally many parts for each name; empty ones are left out.
    """
    names = [one[0] for one in parts]
    for more in range(1, max(map(len, parts), default=1)):
        counts = Counter(names)
        names = [
            _joined([name, one[more]]) if counts[name] > 1 else name for name, one in zip(names, parts, strict=True)
        ]
    return names


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(filter(None, parts))
