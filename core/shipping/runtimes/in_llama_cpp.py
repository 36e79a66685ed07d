"""Reads a GGUF file with llama.cpp, through xllamacpp."""

import importlib.metadata
import json
import sys
from typing import Any
from urllib.request import Request, urlopen

import xllamacpp


def main(path: str, prompts: list[str], tokens: int, threads: int, packages: list[str]) -> dict[str, Any]:  # Any: JSON
    """Return token ids and likeliest next tokens of the prompts, the decoding speed, and versions."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path = path
    wanted.n_ctx, wanted.n_parallel, wanted.n_gpu_layers = 512, 1, 0
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = threads
    wanted.warmup = False
    wanted.fit_params = False  # with it llama.cpp cannot read blocks of different widths
    server = xllamacpp.Server(wanted)

    def tokenised(text: str) -> list[int]:
        body = json.dumps({"content": text, "add_special": True}).encode()
        request = Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
        with urlopen(request) as read:
            tokens: list[int] = json.load(read)["tokens"]
            return tokens

    # llama.cpp reports nothing for half a letter, so a bias selects a whole one. Log-probabilities exclude the bias.
    letter = [[tokenised("a")[-1], 100]]

    def completed(prompt: str, count: int) -> Any:  # Any: JSON
        return server.handle_completions(
            {"prompt": prompt, "max_tokens": count, "logprobs": 5, "temperature": 0, "logit_bias": letter}
        )

    read = []
    for prompt in prompts:
        (first,) = completed(prompt, 1)["choices"][0]["logprobs"]["content"]
        top = [(one["id"], one["logprob"]) for one in first["top_logprobs"]]
        read.append({"ids": tokenised(prompt), "top": top})
    speed = completed(prompts[-1], tokens)["timings"]["predicted_per_second"]
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"prompts": read, "tokens_per_second": speed, "versions": versions}


if __name__ == "__main__":
    print(json.dumps(main(**json.load(sys.stdin))))
