import gc

import pytest

from core.memory import no_collection


def test_collector_is_paused_and_resumes_after_an_error():
    with pytest.raises(ValueError, match="an error"), no_collection():
        assert not gc.isenabled()
        raise ValueError("an error")
    assert gc.isenabled()


def test_a_disabled_collector_remains_disabled():
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
