"""From files to stored results: the one path of the command line and the Run page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import UserError
from core.imports.harness import is_results, read_harness
from core.imports.series import ImportedVariant, ImportPreview, model_finder
from core.imports.sheet import read_sheet
from core.imports.uploads import WANTED, Upload, check
from core.results import Result
from core.store.store import Store


def read_imports(
    uploads: Sequence[Upload], told: ImportedVariant | None, store: Store, task_names: Mapping[str, str] | None = None
) -> ImportPreview:
    """Return what files hold, all of it checked and nothing stored.

    `told` is what the variant of a results file of lm_eval is called and what was removed, which that does not say;
    a CSV says it itself. `task_names` are as in `read_harness`. Raises `UserError` where a file cannot be read, or
    does not go with the others.
    """
    check(uploads)
    results = [upload for upload in uploads if is_results(upload)]
    samples = [upload for upload in uploads if upload.ending == ".jsonl"]
    sheets = [upload for upload in uploads if upload.ending == ".csv"]
    if len(results) > 1:
        raise UserError(f"{len(results)} results files are given; import one variant at a time, with its samples.")
    if samples and not results:
        raise UserError(f"{samples[0].shown} needs the results_*.json that lm_eval wrote beside it.")
    model_of = model_finder(store)
    found = [read_sheet(sheet, model_of) for sheet in sheets]
    if results:
        if told is None:
            raise UserError(f"{results[0].shown} does not say which model it is of, and what was done to it; tell it.")
        found.append(read_harness(results[0], samples, told, model_of, task_names))
    if not found:
        raise UserError(f"There is nothing to import; give {WANTED}.")
    return ImportPreview(
        results=_joined([result for one in found for result in one.results]),
        samples=tuple(sample for one in found for sample in one.samples),
        left_out=tuple(sentence for one in found for sentence in one.left_out),
    )


def store_imports(found: ImportPreview, store: Store) -> None:
    """Store results and samples beside what was imported of the same variants before."""
    for key, measurement, frame in found.samples:  # first, as the rows are what tells others that there is more
        store.put_samples(key, measurement, frame)
    for result in found.results:
        before = store.get(result.variant.key)
        store.put(_with_details(result, before) if before else result)


def _joined(results: Sequence[Result]) -> tuple[Result, ...]:
    """Return the results, those of one variant as one."""
    joined: dict[str, Result] = {}
    for result in results:
        key = result.variant.key
        joined[key] = joined[key].updated(_with_details(result, joined[key])) if key in joined else result
    return tuple(joined.values())


def _with_details(result: Result, before: Result) -> Result:
    """Return a result that still says what an earlier one did of the variant's size."""
    made = ({**before.variant.details, **result.variant.details},)
    return result.model_copy(update={"variant": result.variant.model_copy(update={"stage_runs": made})})
