"""The peer llm-compressor 0.14, in its own environment, since it limits the versions of transformers and torch.

Create the environment with

    python3 -m venv benchmarks/.venv-llmcompressor
    benchmarks/.venv-llmcompressor/bin/pip install "llmcompressor>=0.14,<0.15"
"""

import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from core.models.source import ModelSource
from core.models.sources import load_model, load_tokenizer

SIDE = Path(__file__).parent / "llmcompressor_side.py"


def side_command(python: Path, folder: Path, tokens: Path, chain: str, dtype: str, output: Path) -> list[str]:
    """Return the command that compresses a model with llm-compressor.

    Args:
        python: The interpreter of its environment.
        folder: The model with its tokenizer.
        tokens: File of the calibration data, (windows, tokens).
        chain: `sparsegpt@0.5` or `gptq@4bit`, with any amount.
        dtype: Precision of the model.
        output: File that receives the weights.
    """
    method, _, amount = chain.partition("@")
    return [str(part) for part in (python, SIDE, folder, tokens, method, amount.removesuffix("bit"), dtype, output)]


def seconds_of(printed: str) -> float:
    """Return the seconds that llm-compressor took, from what the command printed."""
    return float(printed.rsplit("SECONDS", 1)[1])


def compress(
    python: Path, source: ModelSource, tokens: torch.Tensor, method: str, amount: str
) -> tuple[float, PreTrainedModel]:
    """Compress a model with llm-compressor.

    Args:
        python: The interpreter of its environment.
        source: The model.
        tokens: Calibration data, (windows, tokens).
        method: As in `llmcompressor_side.py`.
        amount: As in `llmcompressor_side.py`.

    Returns:
        The seconds, and the compressed model in fp32.
    """
    model = load_model(source, "float32")
    with tempfile.TemporaryDirectory() as folder:
        dense, saved, output = Path(folder, "dense"), Path(folder, "windows.pt"), Path(folder, "output.safetensors")
        model.save_pretrained(dense)
        load_tokenizer(source).save_pretrained(dense)
        torch.save(tokens, saved)
        line = side_command(python, dense, saved, f"{method}@{amount}", "float32", output)
        done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
        unknown = model.load_state_dict(load_file(output), strict=False).unexpected_keys
        if unknown:
            raise SystemExit(f"llm-compressor wrote weights that the model does not have: {', '.join(unknown)}.")
    return seconds_of(done.stdout), model
