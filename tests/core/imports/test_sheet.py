"""A CSV of one's own numbers: what it becomes, and a sentence for each row that is wrong."""

import pytest

from core.base.errors import UserError
from core.imports.sheet import MAX_FAULTS, MOST_ROWS, read_sheet
from core.imports.uploads import Upload
from core.protocols import perplexity_protocol
from core.results import Measurement
from core.specs import ModelId, Perplexity
from tests.core.imports.given import ACCURACY, HEADER, PERPLEXITY, sheet


def read(upload):
    return read_sheet(upload, lambda model: ModelId(model, "r")).results


def refused(*rows, **more):
    with pytest.raises(UserError) as error:
        read(sheet(*rows, **more))
    return str(error.value)


def cells(row, **changes):
    parts = dict(zip(HEADER.split(","), row.split(","), strict=True)) | changes
    return ",".join(parts.values())


def test_rows_of_one_label_and_amount_are_one_variant():
    (result,) = read(sheet(PERPLEXITY, ACCURACY))
    perplexity, accuracy = result.measurements
    ours = perplexity_protocol(Perplexity.parse("wikitext2@2048:16"), "float32") | {"source": "hub"}
    twin = Measurement(metric="perplexity", dataset="wikitext2", value=1, n=16, protocol=ours)
    assert perplexity.identity == twin.identity and perplexity.origin == "external"
    assert (accuracy.value, accuracy.stderr, accuracy.n) == (0.62, 0.02, 500)
    assert accuracy.protocol["version"] == 1.0 and accuracy.protocol["limit"] == 500
    variant = result.variant
    assert (variant.ratio, variant.details["packed_mb"]) == (0.5, 178)
    assert variant.stages[0].parameters == {"label": "my-pruner"}


def test_amounts_labels_and_models_distinguish_variants():
    changes = [{}, {"ratio": "0.6"}, {"ratio": "", "pattern": "2:4"}, {"ratio": ""}, {"label": "other"}]
    found = read(sheet(*(cells(PERPLEXITY, **one) for one in [*changes, {"model": "org/name"}])))
    assert len({result.variant.key for result in found}) == 6
    assert [result.variant.ratio for result in found][:4] == [0.5, 0.6, 0.5, None]
    parts = read(sheet(f"{PERPLEXITY},parameters", header=f"{HEADER},kind"))
    assert parts[0].variant.ratio_kind == "parameters"


@pytest.mark.parametrize(("family", "kind"), [("unstructured", "sparsity"), ("structured", "parameters")])
def test_the_family_of_a_pruning_method_tells_the_kind(family, kind):
    (result,) = read(sheet(f"{PERPLEXITY},{family}", header=f"{HEADER},kind"))
    assert result.variant.ratio_kind == kind
    refusal = refused(f"{PERPLEXITY},zeros", header=f"{HEADER},kind")
    assert "column kind: 'zeros' is not a kind; give sparsity or unstructured" in refusal


def test_optional_columns_can_be_omitted():
    (result,) = read(sheet("m,x,perplexity,wikitext2,20,16,2048", header="model,label,metric,dataset,value,n,window"))
    (row,) = result.measurements
    assert row.protocol == {"window": 2048, "windows": None, "dtype": "unknown", "source": "imported"}
    assert result.variant.ratio is None and result.variant.method == "imported"


@pytest.mark.parametrize(
    ("row", "changes", "message"),
    [
        (PERPLEXITY, {"ratio": "1.5"}, "ratio: '1.5' is not a ratio"),
        (PERPLEXITY, {"ratio": "nan"}, "ratio"),
        (PERPLEXITY, {"pattern": "2:4"}, "pattern: the row also has a ratio"),
        (PERPLEXITY, {"ratio": "", "pattern": "4:2"}, "pattern"),
        (PERPLEXITY, {"model": "/etc/passwd"}, "model: '/etc/passwd' is not a model id"),
        (PERPLEXITY, {"model": "a" * 101}, "model"),
        (PERPLEXITY, {"label": "<b>"}, "label"),
        (PERPLEXITY, {"label": "x" * 61}, "label"),
        (PERPLEXITY, {"label": "x" * 201}, "label: at most 200 characters"),
        (PERPLEXITY, {"label": ""}, "label is empty"),
        (PERPLEXITY, {"metric": "accc"}, "metric: Unknown metric 'accc'; did you mean 'acc'?"),
        (PERPLEXITY, {"value": "0.5"}, "value: 0.5 is not a valid perplexity"),
        (PERPLEXITY, {"value": "inf"}, "value: 'inf' is not a number from 0 on"),
        (PERPLEXITY, {"stderr": "-1"}, "stderr"),
        (PERPLEXITY, {"n": "0"}, "n: '0' is not a whole number from 1 on"),
        (PERPLEXITY, {"window": ""}, "window is empty"),
        (PERPLEXITY, {"limit": "10"}, "limit: not allowed for the dataset wikitext2"),
        (PERPLEXITY, {"dataset": "a/b"}, "dataset"),
        (PERPLEXITY, {"dtype": "fp32"}, "dtype: Unknown dtype 'fp32'"),
        (PERPLEXITY, {"packed_mb": "0"}, "packed_mb"),
        (ACCURACY, {"value": "62"}, "value: 62 is not a valid accuracy; give 0 to 1"),
        (ACCURACY, {"dataset": "pica"}, "dataset: Unknown task 'pica'; did you mean 'piqa'?"),
        (ACCURACY, {"fewshot": ""}, "fewshot is empty"),
        (ACCURACY, {"window": "2048"}, "window: not allowed for the task piqa"),
    ],
)
def test_a_bad_row_gives_one_sentence_with_its_position(row, changes, message):
    sentence = refused(cells(row, **changes))
    assert sentence.startswith(f"mine.csv, row 2, column {message}") and "\n" not in sentence


def test_every_bad_row_is_named_and_nothing_is_imported():
    bad = cells(PERPLEXITY, n="x")
    message = refused(bad, PERPLEXITY, bad, "", bad).splitlines()
    assert [line.split(", column")[0] for line in message] == [f"mine.csv, row {number}" for number in (2, 4, 6)]
    message = refused(*[bad] * (MAX_FAULTS + 2)).splitlines()
    assert len(message) == MAX_FAULTS + 1 and message[-1] == "2 other faults not shown."


def test_all_faults_of_a_row_and_of_a_header_are_named_at_once():
    row = cells(PERPLEXITY, ratio="1.5", label="", value="inf", n="0", window="", limit="10")
    columns = [line.split("column ")[1].split(":")[0].split(" ")[0] for line in refused(row, "x").splitlines()[:-1]]
    assert columns == ["ratio", "value", "n", "label", "window", "limit"]
    assert refused(row, "x").splitlines()[-1] == "mine.csv, row 3 has 1 cell, the header 16."
    wrong = HEADER.replace("ratio", "ration").replace("value", "???").replace("metric,", "")
    header = refused(PERPLEXITY, header=f"{wrong},n").splitlines()
    starts = (
        *("Unknown column 'ration'; did you mean 'ratio'?", "Unknown column '???'; remove it or rename it."),
        *(
            "has the column n twice",
            "lacks the column metric",
            "lacks the column value; add it to the header. Its cells: ",
        ),
        "The columns are model, label, ratio, ",  # once
    )
    assert all(start in line for line, start in zip(header, starts, strict=True))
    assert "lacks the column model" in refused(PERPLEXITY, header="")


def test_contradictory_rows_are_rejected():
    assert "row 3 repeats the number of row 2" in refused(PERPLEXITY, cells(PERPLEXITY, value="30"))
    other = cells(PERPLEXITY, windows="", packed_mb="90")
    assert "row 3, column packed_mb: 90 contradicts 178 in row 2" in refused(PERPLEXITY, other)


def test_files_that_are_no_table_are_rejected():
    assert "has a header but no rows" in refused()
    assert "is not valid CSV" in refused('"a"b' + PERPLEXITY)
    for separator, shown in {";": "semicolons (;)", "\t": "tabs", "|": "bars (|)"}.items():
        assert f"by {shown}; save it with commas" in refused(header=HEADER.replace(",", separator))
    assert f"more than {MOST_ROWS} rows" in refused(*[PERPLEXITY] * (MOST_ROWS + 1))
    with pytest.raises(UserError, match="not UTF-8"):
        read(Upload("mine.csv", b"\xff"))


def test_byte_order_mark_and_spaces_are_stripped_from_names():
    content = ("\ufeff" + HEADER.replace(",", " , ") + "\r\n" + PERPLEXITY.replace(",", ", ") + "\r\n").encode()
    assert len(read(Upload("mine.csv", content))) == 1
