"""The catalogue of tasks, with their data files, sizes and chance accuracies."""

import re
from typing import Literal

from core.base.errors import unknown
from core.specs import Frozen


class TaskCard(Frozen):
    """A task of the catalogue."""

    id: str
    label: str
    licence: str
    file: str  # the scored split
    columns: tuple[str, ...]  # the fields of a document that the harness reads
    yaml: str  # the harness' own definition, below lm_eval/tasks; a folder if the task is a group of subjects
    chance: float = 0.25  # accuracy of guessing
    majority: float  # accuracy of always giving the answer that is right most often in the scored split
    fixed_labels: bool = False  # whether all documents have the same choices, such as yes and no
    sha256: str  # of the documents
    documents: int  # in the scored split
    tokens: int  # per document, about, if its choices share their prompt
    subjects: int = 1  # each has the limit of documents
    metric: Literal["acc", "acc_norm"] = "acc"  # the one that papers report
    # The split of few-shot examples and its size (per subject); without one, they follow the scored documents.
    pool: str | None = None
    pool_documents: int = 0
    instruction: str  # the task in one sentence
    answers: bool = True  # answers a question instead of continuing a text; only then reasoning is possible


_CARDS = (
    TaskCard(
        id="boolq",
        documents=3_270,
        tokens=180,
        label="BoolQ",
        licence="CC BY-SA 3.0",
        file="tasks/boolq_validation.parquet",
        columns=("question", "passage", "label"),
        yaml="super_glue/boolq/default.yaml",
        chance=0.5,
        majority=0.6217,
        fixed_labels=True,
        sha256="8b4e2455903036e07e5f880f4d41d25597a3c3b5160b1e1ee788bd44acf4d22e",
        instruction="Answer the question about the passage with yes or no.",
    ),
    TaskCard(
        id="piqa",
        documents=1_838,
        tokens=60,
        label="PIQA",
        licence="AFL 3.0",
        file="tasks/piqa_validation.parquet",
        columns=("goal", "sol1", "sol2", "label"),
        yaml="piqa/piqa.yaml",
        chance=0.5,
        majority=0.5049,
        sha256="256cd78377a0090efcbc05662c15821c9b60f98a708bf48115d0d9af80c67313",
        instruction="Say how the goal is best reached.",
    ),
    TaskCard(
        id="hellaswag",
        documents=10_042,
        tokens=220,
        label="HellaSwag",
        licence="MIT",
        file="tasks/hellaswag_validation.parquet",
        columns=("activity_label", "ctx_a", "ctx_b", "endings", "label"),
        yaml="hellaswag/hellaswag.yaml",
        majority=0.2573,
        sha256="13e375078497cf7222ec529cccbf546b725445172446aac6585235f50e890fa5",
        metric="acc_norm",
        instruction="Continue the text with what happens next.",
        answers=False,
    ),
    TaskCard(
        id="winogrande",
        documents=1_267,
        tokens=70,
        label="WinoGrande",
        licence="CC BY",
        file="tasks/winogrande_xl_validation.parquet",
        columns=("sentence", "option1", "option2", "answer"),
        yaml="winogrande/default.yaml",
        chance=0.5,
        majority=0.5043,
        sha256="8e8671d6097f314f4ddc6c9734e382810926a1e0c3e76664715786d25b4a78d4",
        instruction="Complete the sentence so that it makes sense.",
        answers=False,
    ),
    TaskCard(
        id="arc_easy",
        documents=2_376,
        tokens=80,
        label="ARC-e",
        licence="CC BY-SA 4.0",
        file="tasks/arc_easy_test.parquet",
        columns=("question", "choices", "answerKey"),
        yaml="arc/arc_easy.yaml",
        majority=0.2664,
        sha256="b142620da6eec7e1105226cbad5e3f34cbd9ccc65e05ea9f138c0da9a117ef0d",
        instruction="Answer the question from school science.",
        pool="tasks/arc_easy_validation.parquet",
        pool_documents=570,
    ),
    TaskCard(
        id="arc_challenge",
        documents=1_172,
        tokens=90,
        label="ARC-c",
        licence="CC BY-SA 4.0",
        file="tasks/arc_challenge_test.parquet",
        columns=("question", "choices", "answerKey"),
        yaml="arc/arc_challenge.yaml",
        majority=0.2654,
        sha256="782446d5f137ad1f2ec35ed1e64990905691157f6f9ecd15260b26a4049021c3",
        metric="acc_norm",
        instruction="Answer the question from school science.",
        pool="tasks/arc_challenge_validation.parquet",
        pool_documents=299,
    ),
    TaskCard(
        id="openbookqa",
        documents=500,
        tokens=50,
        label="OBQA",
        licence="Apache-2.0",
        file="tasks/openbookqa_test.parquet",
        columns=("question_stem", "choices", "answerKey"),
        yaml="openbookqa/openbookqa.yaml",
        majority=0.276,
        sha256="d558cc5b6cf7d453dfd6f82ac13fd9fc4c1285ded7956340fd5637669ced4795",
        metric="acc_norm",
        instruction="Complete the statement, or answer the question, with what is true.",
        pool="tasks/openbookqa_validation.parquet",
        pool_documents=500,
    ),
    TaskCard(
        id="lambada_openai",
        documents=5_153,
        tokens=100,
        label="LAMBADA",
        licence="modified MIT",
        file="tasks/lambada_openai_test.parquet",
        columns=("text",),
        yaml="lambada/lambada_openai.yaml",
        chance=0.0,
        majority=0,
        sha256="05ae9755847286957976eca1a513750eeb542019e97af8837baa488483398d78",
        instruction="Complete the text with the word that it ends on.",
        answers=False,
    ),
    TaskCard(
        id="rte",
        documents=277,
        tokens=100,
        label="RTE",
        licence="none stated (GLUE)",
        file="tasks/rte_validation.parquet",
        columns=("sentence1", "sentence2", "label"),
        yaml="glue/rte/default.yaml",
        chance=0.5,
        majority=0.5271,
        fixed_labels=True,
        sha256="b27b946e07c30c4f6325466dbf189289c001a7acc2e0b017a5ec390e8a83614d",
        instruction="Say whether the second statement follows from the first.",
    ),
    TaskCard(
        id="mmlu",
        documents=14_042,
        tokens=160,
        subjects=57,
        label="MMLU",
        licence="MIT",
        file="tasks/mmlu_all_test.parquet",
        columns=("question", "subject", "choices", "answer"),
        yaml="mmlu/default",
        majority=0.2689,
        fixed_labels=True,
        sha256="c808c0f63ddd07ec0f68739ffce3cdded3a92c50076cb9f0d9533b2bcee39ce1",
        instruction="Choose the right answer to the question.",
        pool="tasks/mmlu_all_dev.parquet",
        pool_documents=5,
    ),
)
TASKS: dict[str, TaskCard] = {card.id: card for card in _CARDS}
POOL = 1000  # few-shot examples come from at most so many documents after the scored ones, if they have no split
SEVEN = ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")


def card(name: str) -> TaskCard:
    """Return the catalogue's entry for a task id, with or without `@sha8`."""
    known = TASKS.get(re.sub(r"@[0-9a-f]{8}$", "", name))
    if known is None:
        raise unknown("task", name, TASKS)
    return known
