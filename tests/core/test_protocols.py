"""Which stored number answers a wish, where windows are the first of a text or spread over it."""

import pytest
from pydantic import ValidationError

from core.protocols import perplexity_protocol, satisfies
from core.results import Measurement
from core.specs import Perplexity
from tests.core.factories import perplexity

FIRST, SPREAD = Perplexity.parse("wikitext2@2048:16"), Perplexity.parse("wikitext2@2048:16:spread")


def test_first_and_spread_windows_do_not_satisfy_each_other():
    for stored in (FIRST, SPREAD):
        row = perplexity(20.0).model_copy(update={"protocol": perplexity_protocol(stored, "float32")})
        assert [satisfies(row, wanted, "float32") for wanted in (FIRST, SPREAD)] == [stored == FIRST, stored == SPREAD]


def test_protocol_of_first_windows_is_stable():
    assert perplexity_protocol(FIRST, "float32") == {"window": 2048, "windows": 16, "dtype": "float32"}


@pytest.mark.parametrize("protocol", [{"windows": None, "spread": True}, {"windows": 16, "spread": "yes"}])
def test_an_invalid_spread_is_rejected(protocol):
    with pytest.raises(ValidationError, match=r"protocol\.spread"):
        Measurement(metric="perplexity", dataset="a", value=2.0, n=16, protocol={"window": 128} | protocol)
