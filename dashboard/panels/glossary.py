"""The words that pages use, each explained once: as a heading's hover help, and as a list."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.analysis.budget import DIVERGED, DIVERGED_TIMES_DENSE

TERMS = {
    "dense": "The model as it is, with nothing removed. Every other one is compared with it.",
    "block weights": (
        "The weights of the linear layers inside the model's blocks, attention and FFN. A ratio is a share of these "
        "alone: embeddings, norms, biases and the output head do not count."
    ),
    "sparsity": (
        "The share of the block weights that is zero. A sparse model takes less memory or time only where something "
        "makes use of its zeros."
    ),
    "N:M": (
        "A pattern that keeps N of every M weights that stand beside each other in a row. 2:4 and 4:8 both remove "
        "half; some GPUs multiply 2:4 faster."
    ),
    "FFN": (
        "The feed-forward half of a block, two or three large matrices around a non-linearity. What flows between "
        "them are its channels, also called neurons."
    ),
    "calibration": (
        "A text that a method reads to see which weights matter to the model's outputs. Nothing is trained on it."
    ),
    "window": (
        "How many tokens of a text the model reads at once. A short one gives the model less to go by, so "
        "perplexities of different windows cannot be compared."
    ),
    "perplexity": (
        "How unsure the model is of the next token of a text: at 20 it is as unsure as if it chose among 20 that "
        "are equally likely. Lower is better, and only numbers on the same text and window compare."
    ),
    "diverged": (
        f"A perplexity above {DIVERGED:,.0f}, or {DIVERGED_TIMES_DENSE} times that of the dense model. It says only "
        "that the model is broken, so charts show it at their upper edge."
    ),
    "zero-shot accuracy": (
        "The share of a task's questions that the model answers rightly without having seen an example. It picks "
        "the answer that it finds likeliest."
    ),
    "chance": "The accuracy of picking answers at random. What is not above it shows no skill.",
    "majority class": (
        "The accuracy of always giving the answer that is right most often among the questions asked. A model that "
        "knows nothing can reach it, also where it lies above chance."
    ),
    "mean of seven": (
        "The plain mean of the accuracies on the seven tasks that the papers use: BoolQ, PIQA, HellaSwag, "
        "WinoGrande, ARC-e, ARC-c and OBQA."
    ),
    "standard error": (
        "How far a number would typically move if other windows or questions of the same kind had been drawn. What "
        "the same ones say of two models is told much more finely by their paired difference."
    ),
    "paired difference": (
        "The difference of two models on the same windows or questions, one by one. What is hard for both cancels, "
        "so it is known more exactly than either number."
    ),
    "not significant": (
        "The paired difference could be chance, at a level of 5 %; it does not say that there is none. Significant "
        "alone, not after Holm: its own 95 % interval excludes zero, but among so many comparisons at once one such "
        "interval is no surprise, so that p is adjusted by Holm's correction."
    ),
    "seed": (
        "The number that fixes every draw by chance, such as which windows of a text are read. The spread over "
        "several seeds shows how much of a result is luck."
    ),
    "packed size": (
        "What the weights take at 16 bits each when every matrix is stored in the smallest way that keeps it: "
        "whole, or only what is not zero with a map of where it stands. It is counted, not a file."
    ),
    "bits per weight": (
        "The packed bits of the block linears over their weights in the dense model. At 16 nothing is saved."
    ),
    "GMACs": (
        "Billions of multiplications with an addition that one reading of 64 tokens takes. Zeros count like other "
        "weights."
    ),
    "LoRA": (
        "Training two thin matrices beside each weight matrix in place of the matrix itself. Their product is added "
        "to the weights in the end."
    ),
    "distillation": (
        "Training a model, the student, on what another, the teacher, says. White-box distillation sees the "
        "teacher's predictions for each token, black-box distillation only the text of its answers."
    ),
    "chain": (
        "The stages that make a variant, from left to right, such as `wanda@0.5+lora`. An amount counts all that is "
        "gone after its stage."
    ),
}


def term(name: str) -> str:
    """Return what a word means, for `help=`. Raises `KeyError` for one that the glossary does not have."""
    return TERMS[name]


def terms(names: Sequence[str]) -> str:
    """Return what several words mean, a paragraph each, for `help=`."""
    return "\n\n".join(f"**{_shown(name)}**: {term(name)}" for name in names)


def show_glossary() -> None:
    """Show every word with its meaning, two columns where there is room."""
    names = list(TERMS)
    half = (len(names) + 1) // 2
    for column, part in zip(st.columns(2, gap="large"), (names[:half], names[half:]), strict=True):
        column.markdown(terms(part))


def _shown(name: str) -> str:
    return name[0].upper() + name[1:]
