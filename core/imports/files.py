"""Import of files as stored results, for the command line and the Run page."""

from collections.abc import Mapping, Sequence

from core.base.errors import UserError
from core.imports.harness import read_harness
from core.imports.series import ImportedVariant, ImportPreview, model_finder
from core.imports.sheet import read_sheet
from core.imports.uploads import WANTED, Upload, check
from core.results import Result
from core.store.store import Store


def read_imports(
    uploads: Sequence[Upload],
    variant: ImportedVariant | None,
    store: Store,
    task_names: Mapping[str, str] | None = None,
) -> ImportPreview:
    """Return the contents of files; everything is checked and nothing is stored.

    `variant` describes that of a results file of lm_eval; a CSV describes its own. `task_names` is as in
    `read_harness`. Raises `UserError` for an unreadable file, or files that do not belong together.
    """
    check(uploads)
    results = [upload for upload in uploads if upload.ending == ".json"]
    samples = [upload for upload in uploads if upload.ending == ".jsonl"]
    sheets = [upload for upload in uploads if upload.ending == ".csv"]
    if len(results) > 1:
        raise UserError(f"{len(results)} results files are given; import one variant at a time, with its samples.")
    if samples and not results:
        raise UserError(f"{samples[0].shown} needs the results_*.json that lm_eval wrote with it.")
    model_of = model_finder(store)
    found = [read_sheet(sheet, model_of) for sheet in sheets]
    if results:
        if variant is None:
            raise UserError(f"{results[0].shown} does not identify the variant; add --model and --label.")
        found.append(read_harness(results[0], samples, variant, model_of, task_names))
    if not found:
        raise UserError(f"There is nothing to import; give {WANTED}.")
    return ImportPreview(
        results=_joined([result for one in found for result in one.results]),
        samples=tuple(sample for one in found for sample in one.samples),
        left_out=tuple(sentence for one in found for sentence in one.left_out),
    )


def store_imports(found: ImportPreview, store: Store) -> None:
    """Store results and samples, merged with earlier imports of the same variants."""
    for key, measurement, frame in found.samples:  # first, because readers look for samples once there are rows
        store.put_samples(key, measurement, frame)
    for result in found.results:
        before = store.get(result.variant.key)
        store.put(_with_details(result, before) if before else result)


def _joined(results: Sequence[Result]) -> tuple[Result, ...]:
    """Merge the results of each variant."""
    joined: dict[str, Result] = {}
    for result in results:
        key = result.variant.key
        joined[key] = joined[key].updated(_with_details(result, joined[key])) if key in joined else result
    return tuple(joined.values())


def _with_details(result: Result, before: Result) -> Result:
    """Return a result that retains the size details of an earlier one."""
    runs = ({**before.variant.details, **result.variant.details},)
    return result.model_copy(update={"variant": result.variant.model_copy(update={"stage_runs": runs})})
