"""A declared metric appears in the table of results, comparisons, the trade-off and imports without another edit."""

import json

MEASURED = """
import json
import pandas as pd
from core.findings.best import candidates, qualities
from core.findings.best.budget import Budget, budget_words, fits
from core.findings.numbers.differences import paired_differences
from core.findings.numbers.frame import tidy
from core.findings.pairs.paired import comparison_table
from core.imports.sheet import read_sheet
from core.imports.uploads import Upload
from core.specs import ModelId
from core.store.store import Store
from dashboard.charts.compared import PANELS
from dashboard.explore.budget import MORE
from tests.synthetic import result

store = Store()
made = []
for place, one in enumerate([result("dense", 20.1), result("wanda", 28.0, 0.5), result("magnitude", 90.0, 0.5)]):
    text = next(row for row in one.measurements if row.of_text)
    window = [0.1 * place + 0.002 * number * place for number in range(text.n)]
    row = text.model_copy(update={"metric": "js", "value": sum(window) / text.n, "stderr": 0.001})
    made.append(one.model_copy(update={"measurements": (*one.measurements, row)}))
    store.put_samples(one.variant.key, row, pd.DataFrame({"doc_id": range(text.n), "js": window}))
    store.put(made[-1])

rows = tidy(made)
texts = rows[rows["metric"] == "perplexity"]
every = candidates.candidates(texts, rows[rows["metric"] == "acc"], compared=rows[rows["metric"] == "js"])
budget, quality = Budget(js=0.15), qualities.quality_of("js", "passages-eval")
compared = comparison_table(paired_differences([(made[1], made[2])], store.samples, made[:1]))
header, cells = "model,label,metric,dataset,value,n,window", "m,x,js,wikitext2,{},16,2048"
sheets = [Upload("mine.csv", f"{header}\\n{cells.format(value)}\\n".encode()) for value in (0.25, 0.9)]
[imported] = read_sheet(sheets[0], lambda model: ModelId(model, "r")).results
try:
    refusal = read_sheet(sheets[1], lambda model: ModelId(model, "r"))
except Exception as error:
    refusal = error
print(json.dumps({
    "compared": compared[compared["Metric"].str.startswith("Jensen")].iloc[:, :6].values.tolist(),
    "values": every.set_index("series_label")["js"].round(4).to_dict(),
    "fits": every[fits(every, budget)["fits"]]["series_label"].tolist(),
    "words": [budget_words(budget), quality.title, quality.best, quality.words(every.loc[every["js"].idxmax()])],
    "drawn": [MORE["js"].label, PANELS["nats"][1]],
    "imported": [imported.measurements[0].metric, imported.measurements[0].value],
    "refusal": str(refusal),
}))
"""
EXPORTED = """
import io
from contextlib import redirect_stdout
import pandas as pd
from core.cli.app import main
with redirect_stdout(io.StringIO()) as out:
    main(["results", "--csv"])
frame = pd.read_csv(io.StringIO(out.getvalue()))
print(*frame.loc[frame["metric"] == "js", "value"].round(4))
print(*frame["js"].dropna().round(4))
"""


def test_a_metric_is_declared_once(run):
    found = json.loads(run(MEASURED).splitlines()[-1])
    [[name, first, second, verdict, difference, interval]] = found["compared"]
    assert name.startswith("Jensen-Shannon divergence on ") and (first, second) == ("0.23", "0.115")
    assert verdict == "worse" and difference == "+0.115" and interval.startswith("[+0.")
    assert found["values"] == {"Dense": 0.0, "Magnitude": 0.23, "Wanda": 0.115} and found["fits"] == ["Dense", "Wanda"]
    words, title, best, value = found["words"]
    assert words == "at most 0.15 nats of Jensen-Shannon divergence"
    assert title.endswith("(nats, lower is better)") and best == "lowest Jensen-Shannon divergence"
    assert value == "0.23 nats"
    assert found["drawn"] == [
        "Jensen-Shannon divergence, at most (nats)",
        "KL divergence, Jensen-Shannon divergence, nats",
    ]
    assert found["imported"] == ["js", 0.25]
    assert "0.9 is not a valid Jensen-Shannon divergence; give 0 to 0.693147." in found["refusal"]
    assert all("0.23" in line for line in run(EXPORTED).splitlines()[-2:])
