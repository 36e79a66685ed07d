"""A process with the pretend device, beside the one of the tests, which has none."""

import shutil
import sys
from multiprocessing import get_context
from types import ModuleType

import pytest

from tests.core.data.task_rows import PIQA, write
from tests.core.tiny_folder import write_tiny_folder
from tests.device import runs
from tests.extensions.conftest import write_package

MOST_SECONDS = 200  # of a call; the process may crash or never answer
MODELS = {
    "mixture": ("mixtral", {"num_hidden_layers": 3}),
    "wide": ("llama-gqa", {"intermediate_size": 64, "vocab_size": 300}),
}


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Return a function that calls another one in the process with the device, and returns what it returns."""
    from tests.core.shipping.exported import bpe
    from tests.core.tiny import tiny

    place = write_tiny_folder(tmp_path_factory.mktemp("second"))
    for name, (kind, changes) in MODELS.items():
        shutil.copytree(place / "tiny", place / name)
        tiny(kind, **changes).save_pretrained(place / name)
    bpe(vocabulary=296).save_pretrained(place / "wide")  # GGUF has no tokenizer of whole words
    for part in ("validation", "train"):
        write(place / "data" / "tasks" / f"piqa_{part}.parquet", PIQA)
    write_package(place)
    with pytest.MonkeyPatch.context() as patch:
        # A page that ran in this process took the place of the main module, which a new process imports.
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        with get_context("spawn").Pool(1, runs.start, (place,)) as pool:  # which ends the process, whatever it does
            yield lambda function, *given, **more: pool.apply_async(function, given, more).get(MOST_SECONDS)
