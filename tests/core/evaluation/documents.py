"""Made-up documents of tasks, ten each, as the data files have them."""

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay")
PIQA = [
    {"goal": f"Feed the {w}", "sol1": f"Give the {w} food.", "sol2": f"Give {w} paint", "label": i % 2}
    for i, w in enumerate(WORDS)
]
WINOGRANDE = [
    {"sentence": f"The {w} ate the leaf because _ was hungry.", "option1": f"the {w}", "option2": "the leaf"}
    | {"answer": str(i % 2 + 1)}
    for i, w in enumerate(WORDS)
]
LAMBADA = [{"text": f"I saw the {w} and it was the {w}"} for w in WORDS]
