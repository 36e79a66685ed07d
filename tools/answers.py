"""Generation of the bundled answers: `python -m tools.answers KEY ...` writes `cached_results/answers.jsonl` anew.

    python -m tools.answers 55c49f24 0b3e2c4e a5c9dd5d 00a1304e 4bdd8b7d c3895944

It creates the variants that are not in the cache, and writes the answers of each one to the prepared prompts, in the
order in which Inside then offers them. Log-probabilities have three decimals.
"""

import sys

from core.answers.models import load
from core.answers.shipped import LINE, PROMPTS, SAMPLING, ShippedAnswer
from core.base import paths
from core.cache.folders import put
from core.cli.listing import find_result
from core.engine.runs import run
from core.evaluation.generation.generate import generate, prompt_ids
from core.evaluation.generation.sampling import Candidate, Token
from core.request.stages import variant_spec
from core.specs import RunSpec, VariantSpec
from core.store.store import Store

DECIMALS = 3


def rounded(token: Token) -> Token:
    """Return a token with short log-probabilities."""
    likeliest = tuple(Candidate(one.text, round(one.logprob, DECIMALS)) for one in token.likeliest)
    return token._replace(logprob=round(token.logprob, DECIMALS), likeliest=likeliest)


def answers_of(variant: VariantSpec) -> list[ShippedAnswer]:
    """Return the answers of a variant in the cache to the prepared prompts."""
    loaded, found = load(variant), []
    for text in PROMPTS.values():
        prompt = prompt_ids(loaded.tokenizer, text, chat=True)
        tokens = tuple(map(rounded, generate(loaded.model, loaded.tokenizer, prompt, SAMPLING)))
        found.append(ShippedAnswer(key=variant.key, prompt=text, tokens=tokens))
        print(variant.key[:8], repr("".join(one.text for one in tokens)), flush=True)
    return found


def main(keys: list[str]) -> None:
    """Write the answers of variants."""
    store, lines = Store(), []
    for key in keys:
        variant = variant_spec(find_result(store, key).variant)
        if not (variant.is_dense or paths.cached_variant(variant.key).is_dir()):
            run(RunSpec(variant=variant, cached=True), store)
        lines += [LINE.dump_json(one) for one in answers_of(variant)]
    put(paths.SHIPPED_ANSWERS, b"\n".join(lines) + b"\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(sys.argv[1:])
