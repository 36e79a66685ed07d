"""Short names of variants and series, the same everywhere: `GPTQ 4.25 + distill, emb 8`.

A name depends on the variant alone, so that no other result changes it. If it omits something that distinguishes the
variant, it ends in the first digits of the key: `GPTQ 4.25 #855a`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.amount import Bits
from core.methods.kinds import Dense
from core.methods.terms import Reads
from core.notation.chain import ChainDefaults, common_defaults
from core.notation.formatting import LabelPart, label, label_parts, parameter_words
from core.registry import data_requirement, known_method, on_own_grid, settings_of
from core.results import Variant
from core.specs import IMPORTED, PUBLISHED, Dtype, Stage, TextWindows, VariantSpec, precision_name, sha256

LONGEST = 28  # characters of a name
DIGITS = 4  # of the key
END = 11  # characters that a shortened name keeps of its end
PLUS = " + "
ORIGINS = {IMPORTED: "imported", PUBLISHED: "paper"}  # of external variants
TABLES = "tables"  # kind of the methods that round the embedding, which their short name says instead of `on`
SHOWN = re.compile(r"[\w .:@/-]*")  # of a setting in a name
# The data that names omit. They are fixed, as the default data depend on the texts on a machine.
USUAL: dict[Reads, TextWindows] = {
    "calibration": TextWindows.parse("c4-sample:16x2048"),
    "training": TextWindows.parse("c4-sample:512x256"),
}


class _Part(NamedTuple):
    """One method of a name."""

    text: str  # with its amount
    settings: list[str]
    joint: str = PLUS  # before it


def short_name(variant: Variant | VariantSpec) -> str:
    """Name a variant: `SparseGPT 50 %`, `Wanda 2:4, seed 1`, `GPTQ 4.25 + distill, emb 8 #2a72`.

    Brackets contain settings of one stage. Settings of all stages follow the last one.
    """
    shared = common_defaults(variant.stages)
    texts = _text(shared.calibration, "calibration"), _text(shared.train, "training")
    settings = [*texts, f"seed {shared.seed}" if shared.seed else ""]
    cancelled = isinstance(variant, Variant) and variant.cut_short
    settings += _circumstances(variant.dtype, cancelled, on_own_grid(variant.model, variant.stages))
    return _fitted([*_parts(variant.stages, shared)], [*filter(None, settings)], variant.key)


def series_name(
    stages: Sequence[Stage], dtype: Dtype = "float32", cancelled: bool = False, own_grid: bool = False
) -> str:
    """Name a series, the variants that differ only in the last amount, the data and the seed: `SparseGPT + AdaPrune`.

    If it omits something, it ends in digits of a hash. `own_grid` is as of `core.registry.on_own_grid`.
    """
    parts = _parts(stages, common_defaults(stages), last_open=True)
    return _fitted([*parts], [*filter(None, _circumstances(dtype, cancelled, own_grid))])


def name_with_model(variant: Variant | VariantSpec, model: str) -> str:
    """Return a short name with the display name of the model: `SparseGPT 50 % + LoRA, smollm2-135m`."""
    return f"{short_name(variant)}, {model}"


def _circumstances(dtype: Dtype, cancelled: bool, own_grid: bool) -> list[str]:
    return ["" if dtype == "float32" else precision_name(dtype), "cancelled" * cancelled, "own grid" * own_grid]


def _parts(stages: Sequence[Stage], shared: ChainDefaults, last_open: bool = False) -> Iterator[_Part]:
    """Yield the parts of a name; with `last_open` without the last amount."""
    found = label_parts(stages)
    last = max((place for place, part in enumerate(found) if part.removing), default=None)
    for place, part in enumerate(found):
        amount = "" if last_open and place == last else _amount(part)
        settings = [text for stage in part.stages for text in _settings(stage, shared)]
        method = known_method(part.stages[-1]) if part.stages else None
        name = method.short_label or method.label if method else label(part.name)
        of_tables = method is not None and method.kind == TABLES
        if of_tables and not place:
            yield _Part(Dense.label, [])
        yield _Part(f"{name} {amount}".rstrip(), settings, ", " if of_tables else PLUS)
    if origin := ORIGINS.get(stages[0].method):
        yield _Part(f"({origin})", [], " ")


def _amount(part: LabelPart) -> str:
    amount = part.removing.amount if part.removing else None
    return str(amount).removesuffix("bit") if isinstance(amount, Bits) else amount.label if amount else ""


def _settings(stage: Stage, shared: ChainDefaults) -> Iterator[str]:
    """Yield the settings of a stage: parameters, layers, an old version, and the data and seed that others lack."""
    if stage.is_external:
        if stage.method == IMPORTED and stage.ratio_kind != "sparsity":
            yield stage.ratio_kind
        return
    method = known_method(stage)
    for name, value in settings_of(stage).items():
        if not (method and method.kind == TABLES and name == "on"):
            yield parameter_words(name, value)
    if stage.layers:
        yield f"layers {stage.layers}"
    if stage.version != (method.result_version if method else 1):
        yield f"version {stage.version}"
    kind = data_requirement(stage)
    if shared.text(kind) is None and (text := _text(stage.calibration, kind)):
        yield text
    if stage.seed and shared.seed is None:
        yield f"seed {stage.seed}"


def _text(text: TextWindows | None, kind: Reads) -> str:
    """Return the name of data: empty for the usual ones, and only the corpus of as many sequences."""
    usual = USUAL.get(kind)
    if text is None or text == usual:
        return ""
    alike = usual is not None and (text.windows, text.window) == (usual.windows, usual.window)
    name = text.corpus.removesuffix("-calibration") if alike else str(text)
    return f"train {name}" if kind == "training" else name


def _fitted(parts: Sequence[_Part], settings: Sequence[str], key: str = "") -> str:
    """Join parts and settings; if these do not fit, digits of the key, or of a hash, stand for the settings."""
    plain = "".join(part.joint + part.text for part in parts).removeprefix(PLUS)
    whole = [part.text + f" ({', '.join(part.settings)})" * bool(part.settings) for part in parts]
    full = "".join(part.joint + text for part, text in zip(parts, whole, strict=True)).removeprefix(PLUS)
    full = ", ".join([full, *settings])
    digits = f"#{(key or sha256(full))[:DIGITS]}"
    each = [one for part in parts for one in part.settings] + [*settings]
    complete = [full, _tight(full)] if all(map(SHOWN.fullmatch, each)) else []
    for name in (*complete, f"{plain} {digits}", tight := _tight(plain) + digits):
        if len(name) <= LONGEST:
            return name
    end = END + len(digits)
    return f"{tight[: LONGEST - end - 1]}…{tight[-end:]}"


def _tight(text: str) -> str:
    return text.replace(PLUS, "+").replace(", ", ",")
