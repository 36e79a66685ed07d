"""Reads a folder with plain transformers, and with compressed-tensors if its configuration needs that."""

import importlib.metadata
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers


@torch.inference_mode()
def main(path: str, prompts: list[str], tokens: int, threads: int, packages: list[str]) -> dict[str, Any]:  # Any: JSON
    """Return token ids and likeliest next tokens of the prompts, the decoding speed, and versions."""
    torch.set_num_threads(threads)
    own_code = "slimscope" in json.loads(Path(path, "config.json").read_text())
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path, trust_remote_code=own_code, use_kernels=False
    ).eval()
    read = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        top = model(ids).logits[0, -1].float().log_softmax(-1).topk(5)
        read.append({"ids": ids[0].tolist(), "top": list(zip(top.indices.tolist(), top.values.tolist(), strict=True))})
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"  # by version
    past = model(ids, use_cache=True)
    started = time.perf_counter()
    for _ in range(tokens):
        likeliest = past.logits[:, -1:].argmax(-1)
        past = model(likeliest, use_cache=True, **{name: getattr(past, name)})
    speed = tokens / (time.perf_counter() - started)
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"prompts": read, "tokens_per_second": speed, "versions": versions}


if __name__ == "__main__":
    print(json.dumps(main(**json.load(sys.stdin))))
