import gc

import pytest

from core.cli.collection import no_collection


def test_the_collector_is_off_meanwhile_and_on_again_after_an_error():
    with pytest.raises(ValueError, match="an error"), no_collection():
        assert not gc.isenabled()
        raise ValueError("an error")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
