"""Files to import: those that lm_eval 0.4.13 wrote of four documents a task on the default model, and small CSVs."""

import json
from pathlib import Path

from core.imports.series import parse_series
from core.imports.uploads import Upload

FOLDER = Path(__file__).parent / "lm_eval"
FILES = sorted(FOLDER.glob("*_2026*"))
HEADER = "model,label,ratio,pattern,metric,dataset,value,stderr,n,window,windows,limit,fewshot,dtype,version,packed_mb"
PERPLEXITY = "smollm2-135m,my-pruner,0.5,,perplexity,wikitext2,36.2,0.9,16,2048,16,,,float32,,178"
ACCURACY = "smollm2-135m,my-pruner,0.5,,acc,piqa,0.62,0.02,500,,,500,0,float32,1,"


def described(label="lm_eval", ratio="0", pattern=None, kind="sparsity", model="smollm2-135m"):
    return parse_series(model, label, ratio, pattern, kind)


def uploads(*kinds, **changes):
    """The files of lm_eval whose names begin with one of `kinds`; `changes` are of the results."""
    found = [file for file in FILES if file.name.startswith(kinds or ("results", "samples"))]
    return [Upload(file.name, changed(file, changes)) for file in found]


def changed(file, changes):
    if file.suffix != ".json" or not changes:
        return file.read_bytes()
    content = json.loads(file.read_text())
    for path, value in changes.items():
        place, *within = path.split("__")
        if within:
            content[place] |= {within[0]: value}
        else:
            content[place] = value
    return json.dumps(content).encode()


def sheet(*rows, header=HEADER):
    return Upload("mine.csv", "\n".join([header, *rows]).encode())
