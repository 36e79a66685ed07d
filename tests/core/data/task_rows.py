"""One document of each task, as its file has it."""

from pathlib import Path
from typing import Any

CHOICES = {"text": ["first", "second", "third", "fourth"], "label": ["A", "B", "C", "D"]}
LAST = {"text": CHOICES["text"], "label": ["1", "2", "3", "4"]}
ROWS: dict[str, list[dict[str, Any]]] = {
    "boolq": [{"question": "is it so", "passage": "Title -- It is.", "idx": 0, "label": 1}],
    "piqa": [{"goal": "open it", "sol1": "push", "sol2": "pull", "label": 1}],
    "hellaswag": [
        {
            "activity_label": "Cooking",
            "ctx_a": "A man cooks.",
            "ctx_b": "he",
            "endings": ["eats.", "sleeps.", "runs.", "flies."],
            "label": "0",
        }
    ],
    "winogrande": [{"sentence": "Ann saw Bea so _ left.", "option1": "Ann", "option2": "Bea", "answer": "2"}],
    "arc_easy": [{"id": "a", "question": "Which?", "choices": CHOICES, "answerKey": "C"}],
    "arc_challenge": [{"id": "b", "question": "Which?", "choices": LAST, "answerKey": "4"}],
    "openbookqa": [{"id": "c", "question_stem": "The sun is", "choices": CHOICES, "answerKey": "B"}],
    "lambada_openai": [{"text": "he saw the sign"}],
    "rte": [{"sentence1": "A dog ran.", "sentence2": "A dog moved.", "label": 0, "idx": 0}],
}

# Of the tiny model's words.
PIQA = [{"goal": f"w{i} w{i + 1}", "sol1": f"w{2 * i} w3", "sol2": "w4 w5", "label": i % 2} for i in range(12)]
PIQA_FILE = "tasks/piqa_validation.parquet"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as a Parquet file, its folder, too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
