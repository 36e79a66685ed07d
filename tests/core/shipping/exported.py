"""Tiny models with tokenizers as theirs are, and their exports."""

import torch

from core.base.progress import silent
from core.context import Context, StageInput
from core.engine.stages import apply
from core.engine.variants import describe
from core.evaluation.footprint import footprint
from core.models.parts.blocks import find_blocks
from core.models.parts.reference import mark_dense
from core.models.parts.sizes import linear_sizes
from core.models.source import ModelSource
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.results import Result
from core.shipping.export import export
from core.shipping.formats import find_format
from core.shipping.gguf.tokenizer import SPLITS
from core.shipping.proof import read_proof
from core.specs import TextWindows, VariantSpec
from tests.core.tiny import tiny, windows

TEXT = (
    "The quick brown fox jumps over the lazy dog, doesn't it? It's 1984 again; we'll say so, they've said 12345 times. "
)
CALIBRATION = TextWindows(corpus="text", windows=4, window=24)
LLAMA = {"vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "num_hidden_layers": 3}


def bpe(split="gpt-2", vocabulary=LLAMA["vocab_size"] - 4, text=TEXT * 3):
    """Return a tokenizer trained on a text, with a chat template and two special tokens.

    By default, the embedding of `LLAMA` has more rows than there are tokens.

    It splits text as GPT-2, SmolLM or Llama 3 do, by llama.cpp's names; like Llama 3's, that begins each text.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    llama = split == "llama-bpe"
    trained = Tokenizer(models.BPE(ignore_merges=llama))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not llama)
    first = {
        "smollm": pre_tokenizers.Digits(individual_digits=True),
        "llama-bpe": pre_tokenizers.Split(Regex(SPLITS["llama-bpe"][0]["pattern"]["Regex"]), "isolated"),
    }
    trained.pre_tokenizer = pre_tokenizers.Sequence([first[split], whole]) if split in first else whole
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    trained.train_from_iterator([text], trainer)
    if llama:
        trained.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        bos_token="<|begin|>",
        eos_token="<|end|>",
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    )


def pieces():
    """Return a tokenizer of pieces that a space begins, as Gemma's: bytes where it knows no other, every text begun."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("(?=\u2581)"), "isolated")
    trained.train_from_iterator([TEXT * 3], trainers.BpeTrainer(vocab_size=120, show_progress=False))
    learnt = sorted(trained.get_vocab().items(), key=lambda one: one[1])  # the first are letters
    names = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: place for place, token in enumerate([*names, *(one for one, _ in learnt)])}
    halves = [(token[:at], token[at:]) for token, _ in learnt for at in range(1, len(token))]
    merges = [(first, second) for first, second in halves if {first, second} <= vocabulary.keys()]
    whole = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    whole.normalizer = normalizers.Replace(" ", "\u2581")
    whole.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    whole.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    whole.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=whole, **special)


def made(chain, name="llama-gqa", **changes):
    """Return a tiny model, of a Llama if none is named, that went through a chain, and its result."""
    model = tiny(name, **((LLAMA if name == "llama-gqa" else {}) | changes))
    mark_dense(find_blocks(model))
    sizes, dense = linear_sizes(model), sum(p.numel() for p in model.parameters())
    stages = resolve_chain(parse(chain), ChainDefaults(CALIBRATION, None, 0))
    tokens = windows() + 200
    for stage in stages:
        apply(model, StageInput(stage, tokens, None, None, sizes), Context(torch.device("cpu"), silent))
    spec = VariantSpec(model="m", revision="r", stages=stages)
    return model, Result(variant=describe(spec), footprint=footprint(model, dense, sum(sizes.values())))


def source_of(model):
    """Return the source of a tiny model, which lies nowhere."""
    return ModelSource(id="m", revision="r", kind="folder", config=model.config.to_dict())


def exported(model, result, tokenizer, folder, name, kind, progress=silent):
    """Write an export and return what its proof was."""
    form, source = find_format(name), source_of(model)
    form.check(result.variant, source)
    export(model, tokenizer, result, source, folder, form, form.parse(kind), progress)
    return read_proof(folder)
