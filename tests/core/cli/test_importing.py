"""The command `import`, and what other commands make of what it stored."""

import csv
import io
import json

import pytest

from core.cli.app import main
from core.imports.sheet import COLUMNS
from core.store.store import Store
from tests.core.factories import make, perplexity
from tests.core.imports.given import ACCURACY, FILES, HEADER, PERPLEXITY

pytestmark = pytest.mark.usefixtures("machine")

TELL = ("--model", "smollm2-135m", "--label", "mine", "--ratio", "0.5")


def run(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code
    printed = capsys.readouterr()
    return printed.out if code == 0 else printed.err


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("\n".join([HEADER, PERPLEXITY, ACCURACY]))
    return file


def test_lm_eval_files_become_a_series(capsys):
    output = run(capsys, "import", *FILES, *TELL)
    assert "mine (imported), 50 %" in output and "acc piqa:4" in output and "16.32" in output
    (result,) = Store().results()
    assert (result.variant.model, result.variant.ratio) == ("smollm2-135m", 0.5)
    run(capsys, "import", *FILES, *TELL)
    assert len(Store().results()) == 1


def test_a_csv_identifies_its_variants(capsys, own):
    assert "my-pruner (imported), 50 %" in run(capsys, "import", own)


def test_results_lists_imports_in_every_format(capsys, own):
    run(capsys, "import", own)
    assert "imported@0.5,label=my-pruner" in run(capsys, "results") and "178.0" in run(capsys, "results")
    rows = list(csv.DictReader(io.StringIO(run(capsys, "results", "--csv"))))
    assert {row["origin"] for row in rows} == {"external"}
    (whole,) = json.loads(run(capsys, "results", "--json"))
    assert whole["footprint"] is None and whole["variant"]["method"] == "imported"
    assert "my-pruner" in run(capsys, "results", "--latex")


def test_imports_can_be_deleted_but_not_exported(capsys, own, tmp_path):
    run(capsys, "import", own)
    (result,) = Store().results()
    output = run(capsys, "export", result.variant.key, tmp_path / "out", code=2)
    assert "was imported without its stages" in output
    run(capsys, "delete", result.variant.key)
    assert not Store().results()


@pytest.fixture
def renamed(tmp_path):
    """The files of lm_eval with PIQA called as a task of one's own is."""
    found = []
    for file in FILES:
        copy = tmp_path / file.name.replace("samples_piqa_", "samples_piqa_local_")
        copy.write_text(file.read_text().replace('"piqa"', '"piqa_local"'))
        found.append(copy)
    return found


def test_task_names_can_be_mapped(capsys, renamed):
    run(capsys, "import", *FILES, *TELL)
    (before,) = Store().results()
    run(capsys, "delete", before.variant.key)
    run(capsys, "import", *renamed, *TELL, "--task", "piqa_local=piqa")
    (mapped,) = Store().results()
    assert (mapped.variant.key, mapped.measurements) == (before.variant.key, before.measurements)
    piqa = next(row for row in mapped.measurements if row.dataset == "piqa")
    assert len(Store().samples(mapped.variant.key, piqa)) == piqa.n


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["piqa_local"], "Task 'piqa_local' is not NAME=TASK, such as arc_easy_local=arc_easy."),
        (["piqa_local=piqua"], "Unknown task 'piqua'; did you mean 'piqa'?"),
        (["other=piqa"], "has no task 'other' to map to piqa; it has "),
        (["piqa_local=winogrande"], "would have two tasks winogrande; map 'piqa_local' to another one."),
        (["piqa_local=piqa", "piqa_local=boolq"], "Task 'piqa_local' is mapped twice; map it once."),
    ],
)
def test_a_wrong_map_gives_one_sentence(capsys, renamed, names, sentence):
    options = [word for name in names for word in ("--task", name)]
    assert sentence in run(capsys, "import", *renamed, *TELL, *options, code=2)
    assert not Store().results()


def test_a_map_without_an_lm_eval_file_is_rejected(capsys, own):
    output = run(capsys, "import", own, "--task", "a=piqa", code=2)
    assert output == "--task is for a results file of lm_eval, and none is given; remove it.\n"


@pytest.mark.parametrize(("separator", "shown"), [(";", "semicolons (;)"), ("\t", "tabs"), ("|", "bars (|)")])
def test_a_wrong_separator_is_named(capsys, own, separator, shown):
    own.write_text(own.read_text().replace(",", separator))
    output = run(capsys, "import", own, code=2)
    assert output == f"own.csv separates its columns by {shown}; save it with commas.\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "names no model by its hub id; name the dense model with --model."),
        ((*TELL, "--pattern", "2:4"), "A pattern sets the ratio; give only one of them."),
        ((*TELL[:4], "--ratio", "2"), "'2' is not a ratio"),
        ((*TELL[:4], "--pattern", "4:2"), "is not N:M"),
        ((*TELL, "--ratio-kind", "zeros"), "Unknown kind 'zeros'"),
        (("--model", "/tmp/x"), "'/tmp/x' is not a model id"),
        ((*TELL[:2], "--label", "a+b"), "'a+b' is not a label"),
    ],
    ids=str,
)
def test_wrong_options_give_one_sentence(capsys, options, sentence):
    assert sentence in run(capsys, "import", *FILES, *options, code=2)
    assert not Store().results()


def test_all_bad_rows_are_reported_and_nothing_is_stored(capsys, own):
    own.write_text("\n".join([HEADER, PERPLEXITY, *[ACCURACY.replace("0.62", "62")] * 2]))
    output = run(capsys, "import", own, code=2).splitlines()
    assert [line.partition(", column")[0] for line in output] == ["own.csv, row 3", "own.csv, row 4"]
    assert not Store().results()


def test_other_results_do_not_change(capsys, own):
    mine = make(perplexity(20.0))
    Store().put(mine)
    run(capsys, "import", own)
    assert Store().get(mine.variant.key) == mine


def test_help_lists_every_column(capsys):
    output = run(capsys, "import", "--help")
    for name, column in COLUMNS.items():
        assert f"{name}{'*' * column.needed} " in output
