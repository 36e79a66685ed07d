"""The scorer and the evaluation of tasks against lm-evaluation-harness', on tiny models and made-up documents."""

import lm_eval
import pandas as pd
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoConfig, AutoModelForCausalLM

from core.base.errors import CancelledError, UserError
from core.data.cards import SEVEN, TASKS
from core.data.harness import subjects
from core.data.tasks import harness_tasks, identify_task, open_tasks
from core.evaluation import scorer, states, zeroshot
from core.evaluation.scorer import SharedPrefixLM
from core.evaluation.trees import Row, batches, pack
from core.evaluation.zeroshot import evaluate
from core.findings.numbers.seven import mean, sevens
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL
from core.results import Measurement
from core.specs import Task
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.data.task_rows import write
from tests.core.engine.applied import stopping
from tests.core.evaluation.documents import LAMBADA, PIQA, WINOGRANDE, WORDS
from tests.core.tiny import ARCHITECTURES, layout_of, tiny

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
    with pytest.raises(CancelledError):
        run(tiny(vocab_size=257), byte_tokenizer(), "piqa:4", progress=stopping(lambda stage, *_: stage == "tasks"))


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


LONG = "All work and no play makes a dull sentence. " * 4  # does not fit a window of 128
PAIRS = [
    ("The sky is", " blue"),
    ("The sky is", " green and it is"),
    ("The sky is", " b"),
    ("The sky is", " c"),
    ("The sky is ", "blue"),  # trailing space
    ("The sky is blue", " today"),  # begins with another request's whole text
    ("", "An empty context"),
    ("", "A"),
    ("", "<s>begins with the prefix token"),
    ("<s>The sky", " is here"),
    ("The trophy is here because Ann", " is too big"),
    ("The trophy is here because Bob", " is too big"),
    ("The trophy is here because Bob", " is too big"),  # twice
    ("A", "B"),
    (LONG, "Yes"),
    (LONG, "No, not so"),
    (LONG[:120], "Maybe, or maybe not at all"),
    ("Question: which of them?\nAnswer:", " this one"),
    ("Question: which of them?\nAnswer:", " that one, of course"),
    ("Question: which of them?\nAnswer:", " neither"),
]
REQUESTS = [
    Instance("loglikelihood", doc={}, arguments=pair, idx=i, metadata=("task", i, 1)) for i, pair in enumerate(PAIRS)
]


def assert_equal(ours, theirs, tolerance=1e-4):
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert [score for score, _ in ours] == pytest.approx([score for score, _ in theirs], abs=tolerance)


def reference(model, tokenizer, requests=REQUESTS):
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=3).loglikelihood(requests, disable_tqdm=True)


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("begin", [False, True], ids=["no-bos", "bos"])
def test_scores_match_hflm(name, begin):
    model, tokenizer = tiny(name, vocab_size=257), byte_tokenizer(begin)
    assert_equal(SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS), reference(model, tokenizer))


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("held", [1, 2**29])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_block_by_block_equal_those_of_the_whole_model(name, held, monkeypatch):
    monkeypatch.setattr(states, "HELD_BYTES", held)
    model, tokenizer, updates = tiny(name, vocab_size=257), byte_tokenizer(), []
    whole, streamed = (SharedPrefixLM(model, tokenizer, 64, by_block=by_block) for by_block in (None, "key"))
    pairs = [whole.encode(*pair) for pair in PAIRS]
    assert streamed.score(pairs, updates.append) == whole.score(pairs)
    assert sum(updates) == len(PAIRS) and 0 in updates


def test_soft_cap_after_the_head_is_applied():
    model, tokenizer = tiny("gemma2", vocab_size=257, final_logit_softcapping=2.0), byte_tokenizer()
    capped = SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS)
    assert_equal(capped, reference(model, tokenizer))
    model.config.final_logit_softcapping = None
    uncapped = SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS)
    assert max(abs(a - b) for (a, _), (b, _) in zip(capped, uncapped, strict=True)) > 0.1


@pytest.mark.parametrize("kind", ["mamba", "bloom"])
def test_models_without_tree_support_get_plain_sequences(kind, caplog):
    caplog.set_level("INFO", scorer.__name__)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, vocab_size=257, hidden_size=32, num_hidden_layers=2, n_head=4, initializer_range=0.3
    )
    model, tokenizer = AutoModelForCausalLM.from_config(config).eval(), byte_tokenizer()
    assert_equal(SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS), reference(model, tokenizer))
    assert "tree" in caplog.text


@pytest.mark.parametrize("length", [16, 128])
def test_scores_do_not_depend_on_the_batch(length, monkeypatch):
    monkeypatch.setattr(scorer, "LENGTH", length)
    model, tokenizer = tiny(vocab_size=257), byte_tokenizer()
    alone = [SharedPrefixLM(model, tokenizer).loglikelihood([request])[0] for request in REQUESTS]
    for budget in (1, 100, 4096):
        assert_equal(SharedPrefixLM(model, tokenizer, budget).loglikelihood(REQUESTS), alone, 2e-5)
    assert_equal(SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS[::-1]), alone[::-1], 2e-5)


def test_losses_of_16_bits_are_summed_in_32():
    model, tokenizer = tiny(vocab_size=257), byte_tokenizer()
    exact = SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS)
    half = SharedPrefixLM(model.bfloat16(), tokenizer)
    coarse = half.loglikelihood(REQUESTS)
    assert half._trees_hold
    assert [a for a, _ in coarse] == pytest.approx([a for a, _ in exact], rel=0.02, abs=0.1)


def test_head_of_16_bits_runs_in_32():
    model = tiny(vocab_size=257, tie_word_embeddings=True).bfloat16()
    lm, own = SharedPrefixLM(model, byte_tokenizer()), model.get_output_embeddings()
    ((found, _),) = lm.score([([1, 2, 3], [4])])
    with torch.inference_mode():
        hidden = model.base_model(torch.tensor([[1, 2, 3]])).last_hidden_state[0, -1]  # (hidden,)
        expected = (own.weight.float() @ hidden.float()).log_softmax(0)[4].item()
        coarse = own(hidden).float().log_softmax(0)[4].item()
    assert found == pytest.approx(expected, abs=1e-5) and abs(coarse - expected) > 1e-4
    assert model.get_output_embeddings() is own and own.weight is model.get_input_embeddings().weight


def test_invalid_requests_are_rejected():
    lm = SharedPrefixLM(tiny(vocab_size=257), byte_tokenizer())
    with pytest.raises(UserError, match="maximum length, 128"):
        lm.score([([1], [2] * 129)])
    with pytest.raises(UserError, match="adds no token to its context"):
        lm.encode("A context", "")
    with pytest.raises(UserError, match="whole documents"):
        lm.loglikelihood_rolling([])
    with pytest.raises(UserError, match="generate"):
        lm.generate_until([])


def test_packing_and_batches_respect_their_limits():
    rows = []
    for index, length in enumerate([50, 9, 9, 9, 30, 2, 1, 17]):
        rows.append(Row())
        rows[-1].add(index, (list(range(length)), [0]))
    packed = pack(rows, 32)
    assert sorted(scored.request for row in packed for scored in row.scored) == list(range(8))
    assert all(len(row) <= 32 or row.plain for row in packed)
    assert len(packed) == 4
    for batch in batches(packed, 64):
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= 64
    assert sum(map(len, batches(packed, 64))) == 4
