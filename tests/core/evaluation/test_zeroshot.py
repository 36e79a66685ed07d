"""Zero-shot evaluation against the harness' own evaluator, on tasks of a few made-up documents."""

import lm_eval
import pandas as pd
import pytest
from lm_eval.models.huggingface import HFLM

from core.base.errors import CancelledError
from core.data.cards import SEVEN, TASKS
from core.data.harness import subjects
from core.data.tasks import harness_tasks, identify_task, open_tasks
from core.evaluation import zeroshot
from core.evaluation.zeroshot import evaluate
from core.findings.numbers.seven import mean, sevens
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL
from core.results import Measurement
from core.specs import Task
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.data.task_rows import write
from tests.core.evaluation.documents import LAMBADA, PIQA, WINOGRANDE, WORDS
from tests.core.tiny import tiny

LIMIT = 2  # documents of each real task


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with ten documents a task, and two for each subject, as the data files have them."""
    mmlu = [
        {"question": f"Which one is the {w}?", "subject": one["dataset_name"], "choices": WORDS[:4], "answer": i}
        for one in subjects(TASKS["mmlu"]).values()
        for i, w in enumerate(WORDS[:2])
    ]
    folder = tmp_path_factory.mktemp("data")
    tables = {"piqa_validation": PIQA, "winogrande_xl_validation": WINOGRANDE, "lambada_openai_test": LAMBADA}
    for name, rows in (tables | {"mmlu_all_test": mmlu}).items():
        write(folder / "tasks" / f"{name}.parquet", rows)
    return folder


@pytest.fixture
def local(data, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_DATA", str(data))
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


def by_harness(model, tokenizer, names, limit):
    """Return the results and samples of lm-evaluation-harness with its own model class."""
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    return lm_eval.evaluate(lm=lm, task_dict=harness_tasks(names), limit=limit, bootstrap_iters=100)


def run(model, tokenizer, *tasks, **more):
    return list(evaluate(model, tokenizer, open_tasks(Task.parse(task) for task in tasks), "float32", **more))


def test_numbers_and_samples_match_the_harness(local):
    model, tokenizer = tiny(vocab_size=257, max_position_embeddings=512), byte_tokenizer()
    names = ("piqa", "winogrande", "lambada_openai")
    theirs = by_harness(model, tokenizer, names, 8)
    for outcome in run(model, tokenizer, *(f"{name}:8" for name in names)):
        name = outcome.task.task
        results, samples = theirs["results"][name], theirs["samples"][name]
        for row in outcome.measurements:
            assert row.dataset == identify_task(name).id
            assert row.protocol["limit"] == 8 and row.protocol["fewshot"] == 0 and row.protocol["dtype"] == "float32"
            assert row.protocol["version"] == theirs["versions"][name]
            assert row.n == 8
            assert row.value == pytest.approx(results[f"{row.metric},none"], rel=1e-4)
            if row.metric != "perplexity":
                assert row.stderr == pytest.approx(results[f"{row.metric}_stderr,none"])
        assert {row.metric for row in outcome.measurements} == {
            key.removesuffix(",none") for key in results if key.endswith(",none") and "stderr" not in key
        }
        mine = outcome.samples
        assert list(mine["doc_hash"]) == [sample["doc_hash"] for sample in samples]
        assert list(mine["acc"]) == [sample["acc"] for sample in samples]
        scores = [[float(score) for ((score, _),) in sample["resps"]] for sample in samples]
        for ours, expected in zip(mine["loglikelihoods"], scores, strict=True):
            assert ours == pytest.approx(expected, abs=1e-4)
        if name != "lambada_openai":
            right = mine["prediction"] == mine["target"].astype(int)
            assert list(right.astype(float)) == list(mine["acc"])


def test_mmlu_is_the_mean_over_documents_and_its_limit_is_per_subject(local):
    model, tokenizer = tiny(vocab_size=257, max_position_embeddings=512), byte_tokenizer()
    (one,) = run(model, tokenizer, "mmlu:1")
    (whole,) = run(model, tokenizer, "mmlu")
    assert (one.measurements[0].n, whole.measurements[0].n) == (57, 114)
    assert whole.measurements[0].protocol["limit"] is None
    assert whole.measurements[0].value == whole.samples["acc"].mean()
    assert list(whole.samples["doc_id"]) == list(range(114))
    assert set(one.samples["doc_hash"]) <= set(whole.samples["doc_hash"])


def test_one_document_has_no_stderr(local):
    (outcome,) = run(tiny(vocab_size=257), byte_tokenizer(), "piqa:1")
    assert [row.stderr for row in outcome.measurements] == [None, None]


def test_a_second_variant_encodes_nothing(local, tmp_path, monkeypatch):
    model, tokenizer, cache = tiny(vocab_size=257), byte_tokenizer(), tmp_path / "requests"
    (first,) = run(model, tokenizer, "piqa:6", cache=cache)
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    with monkeypatch.context() as patch:
        patch.setattr(zeroshot, "requests", lambda *args: pytest.fail("encoded again"))
        (second,) = run(model, tokenizer, "piqa:6", cache=cache)
        (fewer,) = run(model, tokenizer, "piqa:3", cache=cache)
    pd.testing.assert_frame_equal(first.samples, second.samples)
    pd.testing.assert_series_equal(fewer.samples["doc_hash"], first.samples["doc_hash"][:3])
    (more,) = run(model, tokenizer, "piqa", cache=cache)
    assert len(more.samples) == 10
    file.write_bytes(file.read_bytes()[:100])
    (again,) = run(model, tokenizer, "piqa:6", cache=cache)
    pd.testing.assert_frame_equal(first.samples, again.samples)
    (other,) = run(model, byte_tokenizer(begin=True), "piqa:6", cache=cache)
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 2
    assert other.samples["loglikelihoods"][0] != first.samples["loglikelihoods"][0]


def test_progress_counts_requests_and_can_cancel(local):
    calls = []
    run(tiny(vocab_size=257), byte_tokenizer(), "piqa:4", "winogrande:3", progress=lambda *call: calls.append(call))
    tasks = [call for call in calls if call[0] == "tasks"]
    assert tasks[-1] == ("tasks", 14, 14, "winogrande")
    assert [call[1] for call in tasks] == sorted(call[1] for call in tasks)

    def stop(stage, done, total, detail):
        if stage == "tasks":
            raise CancelledError

    with pytest.raises(CancelledError):
        run(tiny(vocab_size=257), byte_tokenizer(), "piqa:4", progress=stop)


def accuracies(limit, value, stderr=0.01, **more):
    protocol = {"limit": limit, "fewshot": 0, "dtype": "float32"}
    common = {"n": limit, "protocol": protocol, "stderr": stderr}
    return [
        Measurement(metric=metric, dataset=task, value=value if metric == TASKS[task].metric else 0.9, **common)
        for task in SEVEN
        for metric in ("acc", "acc_norm")
    ]


def test_mean_of_seven_averages_the_tasks():
    few, many = sevens(accuracies(10, 0.4) + accuracies(100, 0.5)).values()
    assert mean(few) == pytest.approx((0.4, 0.01 / 7**0.5)) and mean(many) == pytest.approx((0.5, 0.01 / 7**0.5))
    assert not sevens(accuracies(10, 0.4)[2:] + accuracies(100, 0.5)[:2]) and not sevens([])
    (unsure,) = sevens(accuracies(10, 0.4, stderr=None)).values()
    assert mean(unsure) == (pytest.approx(0.4), None)


@pytest.mark.full
@pytest.mark.real
def test_default_model_scores_the_seven_tasks_as_hflm_does():
    source = identify(DEFAULT_MODEL)
    model, tokenizer = load_model(source), load_tokenizer(source)
    harness = harness_tasks(SEVEN)
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    for outcome in evaluate(model, tokenizer, open_tasks(Task(task=name, limit=LIMIT) for name in SEVEN), "float32"):
        task = harness[outcome.task.task]
        task.build_all_requests(limit=LIMIT)
        expected = iter(theirs.loglikelihood(task.instances, disable_tqdm=True))
        for (_, document), ours in zip(task.doc_iterator(limit=LIMIT), outcome.samples.itertuples(), strict=True):
            choices = [next(expected) for _ in ours.loglikelihoods]
            assert ours.loglikelihoods == pytest.approx([score for score, _ in choices], abs=1e-3)
            assert ours.acc == task.process_results(document, choices)["acc"]
