import gc

import pytest

from core.base.memory import no_collection


@pytest.mark.parametrize("enabled", [True, False])
def test_collector_is_paused_and_is_then_as_before_also_after_an_error(enabled):
    if not enabled:
        gc.disable()
    try:
        with pytest.raises(ValueError, match="an error"), no_collection():
            assert not gc.isenabled()
            raise ValueError("an error")
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
