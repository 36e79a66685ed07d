"""The comparison with the dense model against the perplexity alone, on one model in one run.

    python -m benchmarks.evaluation.fidelity [--texts wikitext2@2048:4,wikitext2@128:64] [--rounds 3]

It prints medians in seconds. The sides take turns, so that other work on the machine affects both. The variant is the
dense model itself: the cost does not depend on the weights, and the divergence shows the rounding. "Once" is the dense
model's own pass, which the cache keeps.
"""

import time
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.base.memory import reuse_freed_memory
from core.base.progress import silent
from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.evaluation.dense_outputs import DenseOutputs
from core.evaluation.perplexity import perplexity
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL
from core.specs import Perplexity, sha256

TEXTS = "wikitext2@2048:4,wikitext2@128:64"
SMOKE = {"texts": "wikitext2@24:2", "rounds": 1}
COLUMNS = ("text", "perplexity alone", "with fidelity", "ratio", "once", "largest divergence, nats")


def main(texts: str = TEXTS, rounds: int = 3, model: str = DEFAULT_MODEL) -> None:
    reuse_freed_memory()
    source = identify(model)
    network, tokenizer = load_model(source), load_tokenizer(source)
    table = Table(title=f"{source.id}, float32, {torch.get_num_threads()} threads: seconds")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "text" else "right", overflow="fold")
    totals = [0.0, 0.0, 0.0]
    for text in map(Perplexity.parse, texts.split(",")):
        windows = evaluation_windows(open_corpus(text.corpus), tokenizer, text.window, text.windows)
        with TemporaryDirectory() as cache, patch.dict("os.environ", {"SLIMSCOPE_CACHE": cache}):
            list(perplexity(network, {text: windows[:1]}, silent))  # the warm-up
            started = time.perf_counter()
            dense_text = DenseOutputs(sha256(source.revision), "float32", lambda: network).of(windows, silent, "")
            once = time.perf_counter() - started
            found = list(perplexity(network, {text: windows}, silent, {text: dense_text}))
            sides: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                for times, dense in zip(sides, (None, {text: dense_text}), strict=True):
                    started = time.perf_counter()
                    list(perplexity(network, {text: windows}, silent, dense))
                    times.append(time.perf_counter() - started)
        alone, compared = map(median, sides)
        totals = [total + more for total, more in zip(totals, (alone, compared, once), strict=True)]
        largest = max(reading.samples["kl"].max() for reading in found)
        cells = (f"{alone:.2f}", f"{compared:.2f}", f"{compared / alone:.2f}", f"{once:.2f}", f"{largest:.1e}")
        table.add_row(str(text), *cells)
    alone, compared, once = totals
    table.add_row("all", f"{alone:.2f}", f"{compared:.2f}", f"{compared / alone:.2f}", f"{once:.2f}", "")
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
