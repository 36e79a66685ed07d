"""Tasks with few-shot examples on the command line."""

import json

import pandas as pd
import pytest

from core.cli.app import main
from core.evaluation.fewshot.dense import DenseModel
from core.store.store import Store

RUN = ["run", "./tiny", "magnitude@0.5", "--perplexity", "text.txt@32:2", "--tasks", "piqa:4"]


@pytest.fixture(autouse=True)
def documents(machine, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "tasks"
    folder.mkdir(parents=True)
    rows = [{"goal": f"eat {i}", "sol1": "yes", "sol2": "no", "label": i % 2} for i in range(9)]
    pd.DataFrame(rows).to_parquet(folder / "piqa_validation.parquet")
    monkeypatch.setenv("SLIMSCOPE_DATA", str(folder.parent))


def test_each_prompt_is_scored_once_on_the_variant_and_on_dense(capsys, monkeypatch):
    asked = ["--fewshot", "0", "--fewshot", "2,selector=nearest"]
    assert main([*RUN, *asked]) == 0
    assert ":4 2-shot (selector=nearest)" in " ".join(capsys.readouterr().out.split())
    for result in Store().results():
        rows = [row for row in result.measurements if row.metric == "acc"]
        assert [row.protocol["fewshot"] for row in rows] == [0, "2,selector=nearest"]
        kept = Store().samples(result.variant.key, rows[1])
        assert [len(shots) for shots in kept["shots"]] == [2] * 4 and "shots" not in Store().samples(
            result.variant.key, rows[0]
        )
    monkeypatch.setattr(DenseModel, "embed", lambda *_: pytest.fail("asked again"))
    monkeypatch.setattr("core.evaluation.zeroshot.evaluate", lambda *_: pytest.fail("scored again"))
    assert main([*RUN, *asked, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["measurements"]
    assert {row["protocol"].get("fewshot") for row in written} == {None, 0, "2,selector=nearest"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--fewshot", "4,selector=best"], "is not K[,selector=random|first|nearest|likely]"),
        (["--fewshot", "0,order=similar-last"], "has no examples to select or to order"),
        (["--fewshot", "6"], "PIQA has 5 few-shot examples here, fewer than the requested 6"),
        (["--fewshot", "1,template=chat"], "has no chat template"),
    ],
)
def test_invalid_few_shot_settings_give_one_sentence(words, sentence, capsys):
    assert main([*RUN, *words]) != 0
    message = " ".join(capsys.readouterr().err.split())
    assert sentence in message and "Traceback" not in message


def test_few_shot_examples_without_tasks_are_rejected(capsys):
    assert main([*RUN[:-2], "--fewshot", "2"]) == 2
    assert "--fewshot needs tasks; add them with --tasks" in " ".join(capsys.readouterr().err.split())
