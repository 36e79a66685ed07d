"""Compress with llm-compressor, in its own environment (see `benchmarks.methods.peer`).

Usage: python llmcompressor_side.py MODEL_FOLDER WINDOWS.pt METHOD AMOUNT DTYPE OUT.safetensors
METHOD is sparsegpt, with a sparsity as AMOUNT, or gptq, with bits per weight in symmetric groups of 64. It prints the
seconds of the call to `oneshot` and writes the dequantised weights, which have the precision DTYPE.
"""

import sys
import time

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.pruning import SparseGPTModifier
from llmcompressor.modifiers.quantization import GPTQModifier
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

LINEARS = {"targets": ["Linear"], "ignore": ["re:.*lm_head"]}

folder, windows_file, method, amount, dtype, out = sys.argv[1:]
windows = torch.load(windows_file, weights_only=True)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
names = [name for name, _ in model.named_parameters()]
dataset = Dataset.from_dict({"input_ids": windows.tolist(), "attention_mask": torch.ones_like(windows).tolist()})
if method == "sparsegpt":
    recipe = SparseGPTModifier(sparsity=float(amount), mask_structure="0:0", **LINEARS)
else:
    weights = {"num_bits": int(amount), "type": "int", "symmetric": True, "strategy": "group", "group_size": 64}
    scheme = {"targets": LINEARS["targets"], "weights": weights}
    recipe = GPTQModifier(config_groups={"weights": scheme}, ignore=LINEARS["ignore"])
started = time.perf_counter()
oneshot(
    model=model,
    dataset=dataset,
    recipe=recipe,
    max_seq_length=windows.shape[1],
    num_calibration_samples=len(windows),
)
seconds = time.perf_counter() - started
compressed = dict(model.named_parameters())
save_file({name: compressed[name].detach().contiguous() for name in names}, out)
print(f"SECONDS {seconds:.3f}")
