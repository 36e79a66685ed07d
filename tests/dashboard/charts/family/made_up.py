"""A made-up family tree of three families."""

from core.findings.inside.family import family_nodes
from core.findings.numbers.frame import tidy
from tests.synthetic import chained, perplexity

CHAINS = {
    "dense": 20.0,
    "magnitude@0.1": 22.0,
    "magnitude@0.5": 400.0,
    "magnitude@0.7": 3e5,
    "magnitude@0.5+adaprune": 60.0,
    "wanda@0.3": 25.0,
    "wanda@0.5": 44.0,
    "wanda@2:4": 120.0,
    "wanda@0.3+lora": 24.0,
    "wanda@0.5+lora": 35.0,
    "wanda@0.5+adaprune": 40.0,
    "wanda@0.5+adaprune+lora": 33.0,
    "wanda@0.7,allocation=owl": 700.0,
    "wanda@0.5+gptq@4bit+rtn@8bit,on=embedding": 50.0,  # its prefix with GPTQ has no results
    "gptq@4bit": 24.0,
    "rotate+gptq@4bit": 22.0,
    "slimllm@0.2": 50.0,
}
ELSEWHERE = ("wanda@0.1", 21.0)  # on another text
RESULTS = [chained(*one) for one in CHAINS.items()] + [chained(*ELSEWHERE, corpus="wikitext2")]
TEXT = "passages-eval", perplexity(1.0).protocol_id
NODES = family_nodes([one.variant for one in RESULTS], tidy(RESULTS), TEXT)
ID = dict(zip(NODES["chain"], NODES["node"], strict=True))
