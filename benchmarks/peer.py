"""The peer llm-compressor 0.14, in an environment of its own, as it caps transformers and torch.

The environment is made by

    python3 -m venv benchmarks/.venv-llmcompressor
    benchmarks/.venv-llmcompressor/bin/pip install "llmcompressor>=0.14,<0.15"
"""

import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from core.models.sources import ModelSource, load_model, load_tokenizer

SIDE = Path(__file__).parent / "llmcompressor_side.py"


def compress(
    python: Path, source: ModelSource, tokens: torch.Tensor, method: str, amount: str
) -> tuple[float, PreTrainedModel]:
    """Return the seconds that it took, and the model as it computes then, in fp32.

    `python` is the interpreter of its environment, `tokens` are windows (windows, tokens), and method and amount are as
    of `llmcompressor_side.py`.
    """
    model = load_model(source, "float32")
    with tempfile.TemporaryDirectory() as folder:
        dense, saved, left = Path(folder, "dense"), Path(folder, "windows.pt"), Path(folder, "left.safetensors")
        model.save_pretrained(dense)
        load_tokenizer(source).save_pretrained(dense)
        torch.save(tokens, saved)
        command: list[str | Path] = [python, SIDE, dense, saved, method, amount, left]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        unknown = model.load_state_dict(load_file(left), strict=False).unexpected_keys
        if unknown:
            raise SystemExit(f"llm-compressor left what the model does not have: {', '.join(unknown)}.")
    return float(done.stdout.rsplit("SECONDS", 1)[1]), model
