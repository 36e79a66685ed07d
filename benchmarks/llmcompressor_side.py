"""Prune with llm-compressor's SparseGPT; runs in an environment of its own (see `benchmarks.sparsegpt`).

Usage: python llmcompressor_side.py MODEL_FOLDER WINDOWS.pt RATIO OUT_FOLDER
It prints the seconds of the call to `oneshot`.
"""

import sys
import time

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.pruning import SparseGPTModifier
from transformers import AutoModelForCausalLM

folder, windows_file, ratio, out = sys.argv[1:]
windows = torch.load(windows_file, weights_only=True)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
dataset = Dataset.from_dict({"input_ids": windows.tolist(), "attention_mask": torch.ones_like(windows).tolist()})
recipe = SparseGPTModifier(sparsity=float(ratio), mask_structure="0:0", targets=["Linear"], ignore=["re:.*lm_head"])
started = time.perf_counter()
oneshot(
    model=model,
    dataset=dataset,
    recipe=recipe,
    max_seq_length=windows.shape[1],
    num_calibration_samples=len(windows),
)
seconds = time.perf_counter() - started
model.save_pretrained(out)
print(f"SECONDS {seconds:.3f}")
