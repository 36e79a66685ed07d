"""The variants of a model as a tree: every prefix of a chain is a node below the next shorter prefix."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from core.amount import Amount
from core.findings.best.budget import PERPLEXITY, meaningful
from core.findings.best.ranking import OWN_GRID
from core.notation.chain import DENSE, common_defaults, format_chain
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
        return ", ".join([*non_default_parameters(self.stage), *layers]) + f" ({OWN_GRID})" * self.own_grid

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


COLUMNS = (
    *("node", "key", "parent", "depth", "order", "label", "chain"),
    *("method", "first_method", "family", "name", "amount", "settings", "data", "seed", "dtype", "own_grid"),
    *("calibration", "train", "chain_seed"),
    *("perplexity", "times_dense", "diverged", "packed_mb", "results", "reason"),
)
NUMBERS = ("chain_seed", "perplexity", "times_dense", "packed_mb")
NOT_MEASURED = "not measured"
NO_PERPLEXITY = "no perplexity on this text"
NO_DENSE = "no perplexity of the dense model on this text"
Children = dict[str | None, list[Prefix]]  # by parent


class _Numbers(NamedTuple):
    """The measurements of the variants, by key."""

    perplexity: dict[str, float]  # on the chosen text
    packed_mb: dict[str, float]
    results: dict[str, int]  # numbers of measurements


def family_nodes(variants: Iterable[Variant], rows: pd.DataFrame, text: tuple[str, str] | None) -> pd.DataFrame:
    """Return the tree of the variants of one model, depth first.

    `rows` are the variants' measurements. `text` is the corpus and protocol id of the perplexities; None if there are
    none.

    Returns:
        `COLUMNS`, a row per node. `node` is the key that the prefix has as a variant, and `key` the same if it has
        results, else None. `parent` is another row's `node`; a dense model, one for each `dtype`, has none.
        `label` names the last stage, unambiguously among the nodes with the same parent. Its parts are `name`, `amount`
        (None for a stage that removes nothing), `settings` (other parameters), `data` (for calibration or training)
        and `seed`. `first_method` and `family` are those of the first stage. `calibration`, `train` and `chain_seed`
        are those that all stages share, which `chain` does not contain.
        `times_dense` is the perplexity as a multiple of the dense model's under the same protocol, infinite where the
        perplexity is no number. `reason` is why it is missing, "" where it is known. `packed_mb` is in 10^6 bytes, and
        `results` counts the measurements.
    """
    nodes = {prefix.id: prefix for variant in variants for prefix in prefixes(variant)}
    children: Children = {}
    for node in nodes.values():
        children.setdefault(node.parent, []).append(node)
    numbers = _numbers(rows, text)
    dense = {root.dtype: numbers.perplexity.get(root.id) for root in children.get(None, ())}
    table = [
        {"order": order, "label": name, **_identity(node), **_quality(node, numbers, _dense_of(node, dense))}
        for order, (node, name) in enumerate(_walk(children, None))
    ]
    return pd.DataFrame(table, columns=list(COLUMNS), dtype=object).astype(dict.fromkeys(NUMBERS, float))


def path_to(nodes: pd.DataFrame, node: str) -> list[str]:
    """Return the ids of the nodes from the dense model to a node of `family_nodes`."""
    parents = dict(zip(nodes["node"], nodes["parent"], strict=True))
    path: list[str] = []
    here: str | None = node
    while here is not None:
        path.insert(0, here)
        here = parents[here]
    return path


def _walk(children: Children, parent: str | None) -> Iterator[tuple[Prefix, str]]:
    """Yield each node below a parent with its label, depth first."""
    siblings = sorted(children.get(parent, ()), key=place)
    for node, name in zip(siblings, labels(siblings), strict=True):
        yield node, name
        yield from _walk(children, node.id)


def _numbers(rows: pd.DataFrame, text: tuple[str, str] | None) -> _Numbers:
    corpus, protocol = text or (None, None)
    on_text = rows[(rows["metric"] == PERPLEXITY) & (rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)]
    first, values = rows.drop_duplicates("key"), on_text["value"].astype(float).fillna(math.inf)
    return _Numbers(
        dict(zip(on_text["key"], values, strict=True)),
        dict(zip(first["key"], first["packed_mb"], strict=True)),
        {str(key): int(count) for key, count in rows["key"].value_counts().items()},
    )


def _dense_of(node: Prefix, dense: dict[str, float | None]) -> float | None:
    """Return the dense perplexity under the chosen protocol, by the dense model of the node's precision if possible."""
    return next((value for value in (dense[node.dtype], *dense.values()) if value is not None), None)


def _identity(node: Prefix) -> dict[str, object]:
    """Return the columns that describe a node's stages."""
    defaults = common_defaults(node.stages)
    own = ("parent", "family", "name", "amount", "settings", "data", "seed", "dtype", "own_grid")
    return {name: getattr(node, name) for name in own} | {
        "node": node.id,
        "depth": len(node.stages),
        "chain": format_chain(node.stages) or DENSE,
        "method": node.stage.method,
        "first_method": node.stages[0].method if node.stages else DENSE,
        "calibration": None if defaults.calibration is None else str(defaults.calibration),
        "train": None if defaults.train is None else str(defaults.train),
        "chain_seed": defaults.seed,
    }


def _quality(node: Prefix, numbers: _Numbers, dense: float | None) -> dict[str, object]:
    """Return the columns of a node's measurements."""
    measured, value = node.id in numbers.results, numbers.perplexity.get(node.id)
    found: dict[str, object] = {
        "key": node.id if measured else None,
        "perplexity": value,
        "diverged": False,
        "packed_mb": numbers.packed_mb.get(node.id),
        "results": numbers.results.get(node.id, 0),
    }
    if value is None or dense is None:
        return found | {"reason": NOT_MEASURED if not measured else NO_PERPLEXITY if value is None else NO_DENSE}
    return found | {"times_dense": value / dense, "diverged": bool(value > meaningful(dense)), "reason": ""}
