"""Compress, measure and compare language models from Python: the package `slimscope`.

Every function shares its code path and its store with the command of the same purpose.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal


def _check_core() -> None:
    """Raise `ImportError` if another package named `core` hides that of Slimscope."""
    place = importlib.util.find_spec("core")
    origin = place.origin if place else None
    if origin is None or not Path(origin).with_name("registry.py").is_file():
        raise ImportError(
            f"Another package named core hides that of Slimscope: {origin or place}. "
            "Rename that package, or start Python in another folder."
        )


try:
    _check_core()
except ImportError as error:
    if Path(sys.argv[0]).stem == "slimscope":  # a command prints a sentence, not a traceback
        sys.exit(str(error))
    raise

from core.api.answers import best, compare, curve  # noqa: E402
from core.api.figures import plot, save  # noqa: E402
from core.base.errors import UserError, unknown  # noqa: E402
from core.base.progress import WAITING, Progress, shown, silent  # noqa: E402
from core.specs import Perplexity, RunSpec, Task, TextWindows  # noqa: E402

if TYPE_CHECKING:
    from pandas import DataFrame
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core.request.settings import RunSettings

__all__ = ["UserError", "Variant", "best", "compare", "compress", "curve", "evaluate", "fidelity", "load"]
__all__ += ["plot", "results", "save", "silent"]

Columns = Literal["default", "all"]
DEFAULT_COLUMNS = (
    *("key", "model", "chain", "packed_mb", "dataset", "metric", "protocol", "value", "stderr"),
    *("perplexity_ratio", "difference", "difference_low", "difference_high", "p_adjusted", "verdict"),
)


@dataclass(frozen=True, repr=False)
class Variant:
    """A model after the stages of its chain.

    Attributes:
        spec: Model, stages and device, as the store and the commands use them.
        model: The network in evaluation mode, on the CPU.
        tokenizer: Its tokenizer.
    """

    spec: RunSpec
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def __repr__(self) -> str:
        return f"Variant({self.spec.variant.model!r}, {self.chain!r}, key={self.key[:8]!r})"

    @property
    def key(self) -> str:
        """The key of the variant for `slimscope results` and `slimscope export`."""
        return self.spec.variant.key

    @property
    def chain(self) -> str:
        """The chain in its notation, such as `sparsegpt@0.5+adaprune`."""
        from core.notation.chain import format_chain

        return format_chain(self.spec.variant.stages)


def load(
    model: str = "smollm2-135m", *, device: str = "cpu", dtype: str = "float32", progress: Progress | None = None
) -> Variant:
    """Load a dense model.

    Args:
        model: Catalogue id, folder or Hugging Face id.
        device: `cpu`, `cuda`, `cuda:1` or `mps`; later compression runs there.
        dtype: `float32`, `bfloat16` or `float16`.
        progress: Called as `progress(stage, done, total, detail)`; by default bars in a terminal or a notebook.

    Returns:
        The model as a variant without stages.

    Raises:
        UserError: The model, device or dtype is unknown.
    """
    from core.request.settings import RunSettings

    return _make(model, "dense", RunSettings(device=device, dtype=dtype), progress)


def compress(
    model: Variant | str,
    chain: str,
    *,
    calibration: str | None = None,
    train: str | None = None,
    seed: int = 0,
    partial: bool = False,
    progress: Progress | None = None,
) -> Variant:
    """Compress a dense model by a chain of stages, or load the cached variant.

    Args:
        model: A dense model from `load`, or a model name as for `load`.
        chain: Stages, such as `sparsegpt@0.5+adaprune`.
        calibration: Calibration data `CORPUS:NxL`, N sequences of L tokens; by default such as `c4-sample:16x2048`.
        train: Training data `CORPUS:NxL` for the stages that train.
        seed: Seed for sampling and training.
        partial: Whether to compress a model that has more than a tenth of its block weights outside of linears.
        progress: Called as `progress(stage, done, total, detail)`; by default bars in a terminal or a notebook.

    Returns:
        The compressed variant; `model` does not change.

    Raises:
        UserError: The chain, the data or the model is invalid.
    """
    from core.request.settings import RunSettings

    dense = model if isinstance(model, Variant) else None
    if dense and dense.chain != "dense":
        raise UserError(
            f"The model is already compressed by {dense.chain}; give the dense model and the whole chain, "
            f"such as {dense.chain}+{chain}."
        )
    name = dense.spec.variant.model if dense else str(model)
    device, dtype = (dense.spec.device, dense.spec.variant.dtype) if dense else ("cpu", "float32")
    texts, examples = (TextWindows.parse(text) if text else None for text in (calibration, train))
    settings = RunSettings(calibration=texts, train=examples, seed=seed, partial=partial, device=device, dtype=dtype)
    return _make(name, chain, settings, progress)


def evaluate(
    variant: Variant,
    *,
    perplexity: str | Sequence[str] = (),
    tasks: str | Sequence[str] = (),
    fidelity: bool = False,
    columns: Columns = "default",
    progress: Progress | None = None,
) -> DataFrame:
    """Measure a variant and its dense model, and store the numbers; stored numbers are loaded.

    Args:
        variant: A variant from `load` or `compress`.
        perplexity: One or several `CORPUS@WINDOW[:N]`: the first N windows of WINDOW tokens, by default all.
        tasks: One or several `TASK[:LIMIT]`: the first LIMIT documents, by default all.
        fidelity: Whether to compare with the dense model, token by token, on the texts of `perplexity`.
        columns: `default`, or `all` of them.
        progress: Called as `progress(stage, done, total, detail)`; by default bars in a terminal or a notebook.

    Returns:
        One row per number, with the columns of `results`.

    Raises:
        UserError: No measurement is given, or an argument is invalid.
    """
    from core.engine.runs import run_alone
    from core.findings.numbers.differences import tidy_with_differences
    from core.findings.seeds import Seeds
    from core.protocols import requested
    from core.request.complete import measuring
    from core.store.store import Store

    names = _column_names(columns)
    texts = [Perplexity.parse(text) for text in _each(perplexity)]
    wanted = [Task.parse(task) for task in _each(tasks)]
    if not (texts or wanted):
        raise UserError("No measurement is given; give perplexity, such as wikitext2@2048:16, or tasks, such as piqa.")
    spec, store = measuring(variant.spec, texts, wanted, fidelity), Store()
    with shown(progress) as report:
        result = run_alone(spec, store, report)
    found = result.model_copy(update={"measurements": requested(spec, result.measurements)})
    dense = store.get(result.variant.dense_key)
    known = [found] if dense is None or dense.variant.key == variant.key else [dense, found]
    rows = tidy_with_differences(known, store.samples, Seeds(store))
    rows = rows[rows["key"] == variant.key].reset_index(drop=True)
    return rows[names] if names else rows


def fidelity(
    dense: str,
    other: str,
    *,
    perplexity: str | Sequence[str] = (),
    device: str = "cpu",
    dtype: str = "float32",
    progress: Progress | None = None,
) -> DataFrame:
    """Compare a model that any tool compressed with its dense origin, token by token; nothing is stored.

    Args:
        dense: Catalogue id, folder or Hugging Face id of the dense model.
        other: The same of the other model, whose weights may be codes, or the path of a GGUF file.
        perplexity: One or several `CORPUS@WINDOW[:N]`, by default that of the command `run`.
        device: As for `load`.
        dtype: Precision of both models.
        progress: Called as `progress(stage, done, total, detail)`; by default bars in a terminal or a notebook.

    Returns:
        One row per number, with the ends of its 95 % interval.

    Raises:
        UserError: A model or a text is invalid, or the models have different tokens.
    """
    from pandas import DataFrame

    from core.engine.fidelity import compare

    texts = [Perplexity.parse(text) for text in _each(perplexity)]
    with shown(progress) as report:
        found = compare(dense, other, texts, dtype=dtype, device=device, progress=report)
    return DataFrame([record for one in found for record in one.records])


def results(model: str | None = None, *, columns: Columns = "default") -> DataFrame:
    """Return the stored results, bundled ones included.

    Args:
        model: A model as for `load`, or its name in the column `model`; by default all models.
        columns: `default`, or `all` of them.

    Returns:
        One row per number: the variant, its size, the number with its protocol, and the paired difference to dense.

    Raises:
        UserError: The model has no results, or several models have this name.
    """
    from core.cli.naming import matching_name
    from core.findings.numbers.differences import tidy_with_differences
    from core.findings.seeds import Seeds
    from core.store.store import Store

    names, store = _column_names(columns), Store()
    found, models = list(store.each()), store.model_names()
    if model is not None:
        wanted = matching_name(str(model), models)
        found = [result for result in found if models[result.variant.model_id] == wanted]
    rows = tidy_with_differences(found, store.samples, Seeds(store))
    rows = rows.assign(model=rows["key"].map({one.variant.key: models[one.variant.model_id] for one in found}))
    return rows[names] if names else rows


def main() -> int:
    """Run the command `slimscope` and return its exit code."""
    from core.cli.app import main as command

    return command()


def _make(model: str, chain: str, settings: RunSettings, progress: Progress | None) -> Variant:
    from core.engine.execute import make
    from core.engine.session import Session
    from core.request.complete import complete
    from core.store.slots import compute_lock
    from core.store.store import Store

    spec = complete(model, chain, settings)
    with shown(progress) as report, compute_lock(lambda: report(WAITING, 0, 1, "")):
        session = Session([spec.model_copy(update={"perplexity": ()})], report)
        network, _ = make(spec, session, Store(), report)
    return Variant(spec, network.eval(), session.tokenizer)


def _column_names(columns: Columns) -> list[str]:
    """Return the names of the chosen columns; none if all are chosen."""
    choices = {"default": list(DEFAULT_COLUMNS), "all": []}
    if columns not in choices:
        raise unknown("columns", str(columns), choices)
    return choices[columns]


def _each(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names
