"""Measurement of exported files: `python -m tools.files FORMAT KEY ...` adds a line for each to `cached_results`.

    python -m tools.files gguf 24ed2fa7 80128c03

It exports each variant in the type that loses least, computes its distance to the dense model with the file's weights,
and replaces the variant's earlier line of this format.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from typer.testing import CliRunner

from core.base import paths
from core.cache.folders import put
from core.cli.app import app
from core.cli.listing import find_result
from core.engine.fidelity import compare
from core.findings.numbers.fidelity import RATIO
from core.results import KL, Variant
from core.shipping.base import Format
from core.shipping.formats import find_format
from core.shipping.gguf.format import GGUF
from core.shipping.measured import LINE, MeasuredFile, measured_files
from core.store.store import Store


def measure(variant: Variant, form: Format) -> MeasuredFile:
    """Export a variant, and measure the distance of its file to the dense model."""
    with TemporaryDirectory() as parent:
        folder = Path(parent) / "file"
        result = CliRunner().invoke(app, ["export", variant.key, str(folder), "--format", form.name])
        if result.exit_code:
            raise SystemExit(result.output)
        (file,) = folder.glob("*.gguf") if form.name == GGUF.name else [folder]
        size = file.stat().st_size if file.is_file() else sum(one.stat().st_size for one in file.iterdir())
        (found,) = compare(variant.model, str(file), dtype=variant.dtype)
    numbers = {one.name: one for one in found.numbers}
    ratio = numbers[RATIO]
    return MeasuredFile(
        key=variant.key,
        format=form.label,
        type=form.type_name(form.default(variant)),
        bytes=size,
        text=str(found.text),
        n=found.dense.n,
        dtype=variant.dtype,
        ratio=ratio.value,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        kl=numbers[KL].value,
    )


def main(format: str, keys: list[str]) -> None:
    """Measure the files of variants in a format, and write each line at once."""
    store, form = Store(), find_format(format)
    known = dict(measured_files())
    for key in keys:
        one = measure(find_result(store, key).variant, form)
        known[one.key, one.format] = one
        lines = [LINE.dump_json(known[place]) for place in sorted(known)]
        put(paths.SHIPPED_FILES, b"\n".join(lines) + b"\n")
        print(one)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
