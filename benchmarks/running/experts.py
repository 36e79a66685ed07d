"""A mixture of experts compared with dense models of as many active and of as many total weights: time and memory.

    python -m benchmarks.running.experts [--chain sparsegpt@0.5] [--sizes 512,4,64,64,8]
        [--calibration c4-sample:16x2048]

The models are random. `--sizes` gives the hidden size, the number of blocks, the width of an expert, the number of
experts in a layer, and of those for each token. The dense models have wider MLPs instead. Each run is a process of its
own and includes the dense baseline. The peak is the largest sum of `RssAnon` and `RssShmem`, as in
`benchmarks.running.streaming`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import transformers
from rich.console import Console
from rich.table import Table

from benchmarks.running.streaming import HEAD, UNLIMITED, measured, random_llama, write_random
from benchmarks.smoke import run
from core.models.facts import load_shape
from core.models.sources import identify
from core.request.stages import DEFAULT_MODEL

SMOKE = {"sizes": "64,2,16,4,2", "calibration": "c4-sample:2x24", "perplexity": "wikitext2@24:2", "chain": "wanda@0.5"}


def main(
    chain: str = "sparsegpt@0.5",
    sizes: str = "512,4,64,64,8",
    calibration: str = "c4-sample:16x2048",
    perplexity: str = "wikitext2@2048:4",
    dtype: str = "float32",
    model: str = DEFAULT_MODEL,  # whose tokenizer they have
) -> None:
    hidden, blocks, width, experts, chosen = map(int, sizes.split(","))
    table = Table(title=f"{chain}, {calibration}, {perplexity}, {dtype}; memory in MB")
    for column in ("model", "weights (M)", "of a token (M)", "seconds", "ratio", "peak", "ratio"):
        table.add_column(column, justify="left" if column == "model" else "right")
    with TemporaryDirectory() as place:
        folders = {
            f"mixture of {experts} experts": random_mixture(
                Path(place) / "mixture", hidden, blocks, width, experts, chosen, model
            ),
            "dense, as many of a token": random_llama(Path(place) / "active", hidden, blocks, width * chosen, model),
            "dense, as many in all": random_llama(Path(place) / "total", hidden, blocks, width * experts, model),
        }
        rows = []
        for name, folder in folders.items():
            shape = load_shape(identify(str(folder)))
            reading = measured(str(folder), chain, calibration, perplexity, dtype, UNLIMITED, streams=False)
            rows.append((name, shape, reading))
        _, _, first = rows[0]
        for name, shape, reading in rows:
            table.add_row(
                name,
                f"{shape.block_weights / 1e6:.1f}",
                f"{(shape.active_weights or shape.block_weights) / 1e6:.1f}",
                f"{reading.seconds:.1f}",
                f"{first.seconds / reading.seconds:.2f}",
                f"{reading.use.peak:.0f}",
                f"{first.use.peak / reading.use.peak:.2f}",
            )
    Console().print(table)


def random_mixture(folder: Path, hidden: int, blocks: int, width: int, experts: int, chosen: int, model: str) -> Path:
    """Write a random Qwen3-MoE in bfloat16 with the tokenizer of `model`."""
    config = transformers.Qwen3MoeConfig(
        hidden_size=hidden,
        num_hidden_layers=blocks,
        moe_intermediate_size=width,
        num_experts=experts,
        num_experts_per_tok=chosen,
        num_attention_heads=hidden // HEAD,
        num_key_value_heads=hidden // HEAD,
        norm_topk_prob=True,
    )
    return write_random(transformers.Qwen3MoeForCausalLM, config, folder, model)


if __name__ == "__main__":
    run(main, SMOKE)
