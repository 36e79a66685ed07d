"""The command `import`, and what other commands make of what it stored."""

import csv
import io

import pytest

from core.base.errors import UserError
from core.cli.importing import parse_task_names
from core.store.store import Store
from tests.core.factories import make, perplexity
from tests.core.imports.given import ACCURACY, FILES, HEADER, PERPLEXITY

pytestmark = pytest.mark.usefixtures("machine")

TELL = ("--model", "smollm2-135m", "--label", "mine", "--ratio", "0.5")


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("\n".join([HEADER, PERPLEXITY, ACCURACY]))
    return file


def test_lm_eval_files_become_a_series(output_of):
    output = output_of("import", *FILES, *TELL)
    assert "mine (imported), 50 %" in output and "acc piqa:4" in output and "16.32" in output
    (result,) = Store().results()
    assert (result.variant.model, result.variant.ratio) == ("smollm2-135m", 0.5)
    output_of("import", *FILES, *TELL)
    assert len(Store().results()) == 1


def test_a_csv_is_listed_in_every_format_and_deleted_but_not_exported(output_of, error_of, own, tmp_path):
    mine = make(perplexity(20.0))
    Store().put(mine)
    assert "my-pruner (imported), 50 %" in output_of("import", own)
    (result,) = (one for one in Store().results() if one != mine)
    shown = output_of("results")
    assert "my-pruner 50 % (imported)" in shown and "178.0" in shown
    rows = list(csv.DictReader(io.StringIO(output_of("results", "--csv"))))
    assert {row["origin"] for row in rows if row["key"] == result.variant.key} == {"external"}
    whole = next(one for one in output_of("results", "--json") if one["footprint"] is None)
    assert whole["variant"]["method"] == "imported" and "my-pruner" in output_of("results", "--latex")
    assert "was imported" in error_of("export", result.variant.key, tmp_path / "out")
    output_of("delete", result.variant.key, "--yes")
    assert Store().results() == [mine]


def test_task_names_can_be_mapped(output_of, tmp_path):
    output_of("import", *FILES, *TELL)
    (before,) = Store().results()
    output_of("delete", before.variant.key, "--yes")
    for file in FILES:  # with PIQA called as a task of one's own is
        copy = tmp_path / file.name.replace("samples_piqa_", "samples_piqa_local_")
        copy.write_text(file.read_text().replace('"piqa"', '"piqa_local"'))
    output_of("import", *tmp_path.glob("*_2026*"), *TELL, "--task", "piqa_local=piqa")
    (mapped,) = Store().results()
    assert (mapped.variant.key, mapped.measurements) == (before.variant.key, before.measurements)
    piqa = next(row for row in mapped.measurements if row.dataset == "piqa")
    assert len(Store().samples(mapped.variant.key, piqa)) == piqa.n


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["piqa_local"], "'piqa_local' is not NAME=TASK"),
        (["piqa_local=piqua"], "did you mean 'piqa'"),
        (["piqa_local=piqa", "piqa_local=boolq"], "'piqa_local' is mapped twice"),
    ],
)
def test_a_wrong_map_is_refused(names, words):
    with pytest.raises(UserError, match=words):
        parse_task_names(names)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--model"),
        ((*TELL, "--pattern", "2:4"), "A pattern sets the ratio"),
        ((*TELL, "--ratio-kind", "zeros"), "'zeros'"),
        ((*TELL, "--task", "other=piqa"), "has no task 'other' to map to piqa; it has "),
        ((*TELL, "--task", "piqa=winogrande"), "would have two tasks winogrande; map 'piqa' to another one."),
    ],
    ids=str,
)
def test_wrong_options_give_one_sentence_and_nothing_is_stored(error_of, options, words):
    assert words in error_of("import", *FILES, *options)
    assert not Store().results()


def test_faults_of_a_csv_are_printed_and_nothing_is_stored(error_of, own):
    assert error_of("import", own, "--task", "a=piqa").startswith("--task is for a results file of lm_eval")
    own.write_text("\n".join([HEADER, PERPLEXITY, *[ACCURACY.replace("0.62", "62")] * 2]))
    lines = error_of("import", own).splitlines()
    assert [line.partition(", column")[0] for line in lines] == ["own.csv, row 3", "own.csv, row 4"]
    assert not Store().results()
