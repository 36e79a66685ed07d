"""What a run resolves: model, tokenizer, texts and tasks, each once for the variant and its dense baseline."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import transformers

from core.data import files
from core.engine.runs import run
from core.errors import UserError
from core.models.sources import fetch_model, identify
from core.request.complete import complete
from core.specs import Perplexity, Task, TextWindows
from core.store.store import Store
from tests.core.commands import WORDS

pytestmark = pytest.mark.usefixtures("machine")

CHAINS = {
    "calibrated": "sparsegpt@0.5",
    "trained": "magnitude@0.5+lora,batch=4,steps=1,rank=2,held_out=1",
    "distilled": "magnitude@0.5+distill-white,batch=4,steps=1,rank=2,held_out=1",
}


@pytest.fixture
def data(machine, tmp_path, monkeypatch):
    """A data folder with the documents of a task and the rows of two corpora."""
    rows = [{"goal": f"w{i} w{i + 1}", "sol1": f"w{2 * i} w3", "sol2": "w4 w5", "label": i % 2} for i in range(12)]
    text = [{"text": " ".join(WORDS)} for _ in range(20)]
    tables = {
        "tasks/piqa_validation.parquet": rows,
        "wikitext2/wikitext-2-raw-v1_test.parquet": text,
        "calibration/c4_en_sample.parquet": text,
    }
    for name, content in tables.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        pd.DataFrame(content).to_parquet(tmp_path / "data" / name)
    monkeypatch.setenv("SLIMSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


def requested(chain, **more):
    texts = [Perplexity.parse(text) for text in ("text.txt@32:4", "wikitext2@32:4", "wikitext2@16:2:spread")]
    return complete(
        "./tiny",
        chain,
        calibration=TextWindows.parse("c4-sample:4x32"),
        train=TextWindows.parse("text.txt:8x16"),
        perplexity=texts,
        tasks=[Task.parse("piqa:6")],
        **more,
    )


def counted(monkeypatch, place, name):
    """Count the calls of a function of a path by this path."""
    calls, real = Counter(), getattr(place, name)

    def counting(path, *given, **more):
        calls[Path(path)] += 1
        return real(path, *given, **more)

    monkeypatch.setattr(place, name, counting)
    return calls


@pytest.fixture
def reads(monkeypatch):
    """The number of times that each existing file is opened for reading by `pathlib`, as the project does."""
    calls, real = Counter(), Path.open

    def counting(path, mode="r", *given, **more):
        if "r" in mode and path.is_file():
            calls[path.resolve()] += 1
        return real(path, mode, *given, **more)

    monkeypatch.setattr(Path, "open", counting)
    return calls


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("kind", CHAINS)
def test_a_run_reads_each_file_once(kind, reads, tmp_path, monkeypatch):
    spec, store, model = requested(CHAINS[kind]), Store(), Path("tiny").resolve()
    given = {path for place in (model.parent, tmp_path) for path in place.rglob("*") if path.is_file()}
    reads.clear()
    tables = counted(monkeypatch, files, "table")
    tokenizers = counted(monkeypatch, transformers.AutoTokenizer, "from_pretrained")
    weights = counted(monkeypatch, transformers.AutoModelForCausalLM, "from_pretrained")
    result = run(spec, store)
    assert {row.metric for row in result.measurements} >= {"perplexity", "acc"} and len(store.results()) >= 2
    assert model / "config.json" in reads
    assert {path: count for path, count in reads.items() if path in given and count > 1} == {}
    assert set(tables.values()) == {1}
    assert tokenizers == {model: 1}
    # Compression is in place, so the baseline reads the weights again, and so does a teacher.
    assert weights == {model: 3 if kind == "distilled" else 2}


def test_a_changed_model_is_rejected_before_any_computation(tmp_path, monkeypatch):
    spec = requested("magnitude@0.5")
    place = Path("tiny").resolve()
    print(identify(str(place)), fetch_model, UserError, spec)
