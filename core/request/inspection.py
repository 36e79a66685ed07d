"""What Slimscope finds in a model before anything is computed: what runs on it, what does not, and a first sweep."""

from collections.abc import Iterator, Sequence

from core.methods.base import Method
from core.models.facts import config_of
from core.models.folders import read_json
from core.models.inspection import NO_LIMIT, Inspection, inspected
from core.models.source import ModelSource
from core.notation.formatting import format_duration
from core.registry import STAGES
from core.request.expected.estimate import estimate_left
from core.request.expected.size import size_of_variant
from core.specs import Frozen, RunSpec
from core.store.store import Store

FIRST = ("rtn@4bit", "gptq@4bit", "wanda@0.5", "sparsegpt@2:4", "slimllm@0.2", "reap@0.25")  # of a first sweep
STACKED = "some in a layout that is not taken apart, so they stay dense"
TEMPLATES = ("chat_template.jinja", "chat_template.json")  # files besides the tokenizer's configuration


class Applicability(Frozen):
    """Whether a method runs on a model."""

    method: str
    family: str
    refusal: str | None  # None: it runs


def inspect_model(source: ModelSource) -> Inspection:
    """Return what was found in a language model; a `UserError` for another, or if transformers cannot build it."""
    return inspected(config_of(source))


def applicability(found: Inspection) -> Iterator[Applicability]:
    """Yield for each method whether it runs on a model."""
    for method in STAGES:
        if method.name != "dense":
            yield Applicability(method=method.name, family=method.family, refusal=_refusal(method, found))


def _refusal(method: type[Method], found: Inspection) -> str | None:
    experts = f"it removes experts, and this model has {STACKED if found.stacked else 'none'}"
    refusals = {
        "heads": found.heads_refusal,
        "channels": found.units_refusal,
        "slices": found.slices_refusal,
        "rotation": found.rotation_refusal,
        "experts": experts if found.experts is None else None,
    }
    return refusals[method.requires] if method.requires else None


def first_chains(found: Inspection) -> list[str]:
    """Return chains for a first sweep: of each family, one that runs."""
    runs = {one.method for one in applicability(found) if one.refusal is None}
    return [chain for chain in FIRST if chain.partition("@")[0] in runs]


def sweep_rows(specs: Sequence[RunSpec], chains: Sequence[str], store: Store) -> list[dict[str, str]]:
    """Return chain, estimated time and memory, and predicted packed size of each run of a sweep, in words."""
    rows = []
    for spec, chain in zip(specs, chains, strict=True):
        cost = estimate_left([spec], store)
        streams = ", streaming from disk" if cost.streaming else ""
        memory = cost.refusal or f"{cost.bytes / 1e9:.1f} GB{streams}"
        time, memory = (format_duration(cost.seconds), memory) if cost.stages else ("stored", "")
        size = size_of_variant(spec.variant)
        packed = "" if size is None else size.words()
        rows.append({"chain": chain, "time": time, "memory": memory, "packed size": packed})
    return rows


def has_chat_template(source: ModelSource) -> bool | None:
    """Return whether a model's tokenizer has a chat template; None if its files are not on this machine."""
    if source.folder is None:
        return None
    if any((source.files / name).is_file() for name in TEMPLATES):
        return True
    settings = source.files / "tokenizer_config.json"
    return settings.is_file() and bool(read_json(settings, source.id).get("chat_template"))


def facts_of(source: ModelSource, found: Inspection) -> dict[str, str]:
    """Return sentences on what was found, by their label."""
    shape = found.shape
    used = shape.parameters - shape.block_weights + (shape.active_weights or shape.block_weights)
    active = f", of which {_count(used)} compute a token" if found.experts else ""
    experts = STACKED if found.stacked else "none"
    if found.experts:
        experts = "{} in a layer, {} for each token".format(*found.experts)
    template = {True: "yes", False: "no", None: "unknown until the model is downloaded"}[has_chat_template(source)]
    uncovered = f"; {', '.join(found.uncovered)} stay dense" if found.uncovered else ""
    return {
        "Model": f"{source.id} at revision {source.revision}",
        "Architecture": found.architecture,
        "Parameters": f"{_count(shape.parameters)}{active}; {shape.parameters * 2 / 1e6:,.1f} MB at 16 bits",
        "Blocks": f"{shape.blocks}, with hidden states of {shape.hidden} numbers",
        "Experts": experts,
        "Embedding": f"{shape.vocabulary} tokens, {'tied to the head' if found.tied else 'with a head of its own'}",
        "Longest text": "no limit" if shape.max_window == NO_LIMIT else f"{shape.max_window} tokens",
        "Chat template": template,
        "Covered": f"{100 * (1 - shape.uncovered_share):.1f} % of the block weights are in linears{uncovered}",
    }


def _count(parameters: int) -> str:
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if parameters >= size:
            return f"{parameters / size:.2f} {word}"
    return f"{parameters:,}"
