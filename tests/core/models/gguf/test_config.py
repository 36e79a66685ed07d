"""The fields of a GGUF file that change its outputs: used if the configuration has them, and named if they differ."""

import pytest
from gguf import GGUFWriter

from core.base.errors import UserError
from core.models.compressed import config_like
from tests.core.tiny import tiny


def file_with(place, architecture, fields):
    writer = GGUFWriter(place / "small.gguf", architecture)
    for name, value in fields.items():
        add = {float: writer.add_float32, int: writer.add_uint32, str: writer.add_string}[type(value)]
        add(f"{architecture}.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place / "small.gguf"


def changed(place, kind, fields, **settings):
    """Return the fields of a configuration that a file changes, with their new values."""
    dense = tiny(kind, **settings).config.to_dict()
    found = config_like(file_with(place, kind.partition("-")[0], fields), dense, dense)
    return {name: value for name, value in found.items() if value != dense[name]}


def test_fields_with_a_place_are_used_and_named(tmp_path, caplog):
    kinds = ["sliding_attention", "full_attention"]
    rope = tiny("gemma3").config.to_dict()["rope_parameters"]
    bases = {"rope.freq_base": 5.0, "rope.freq_base_swa": 7.0, "attention.sliding_window_pattern": 2}
    assert changed(tmp_path, "gemma3", bases) == {
        "layer_types": kinds,
        "rope_parameters": {
            "full_attention": rope["full_attention"] | {"rope_theta": 5.0},
            "sliding_attention": rope["sliding_attention"] | {"rope_theta": 7.0},
        },
    }
    caps = {"final_logit_softcapping": 5.0, "attn_logit_softcapping": 6.0}
    assert changed(tmp_path, "gemma2", caps | {"attention.sliding_window": 4}) == caps | {"sliding_window": 4}
    caplog.clear()
    assert changed(tmp_path, "llama-gqa", {"attention.layer_norm_rms_epsilon": 0.25}) == {"rms_norm_eps": 0.25}
    assert caplog.messages == [
        "small.gguf states attention.layer_norm_rms_epsilon = 0.25, but the dense model has 1e-06; the comparison uses "
        "that of the file."
    ]


def test_fields_without_a_place_are_named(tmp_path, caplog):
    stated = {"attention.scale": 0.5, "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    assert changed(tmp_path, "llama-gqa", stated) == {}
    assert [one.split(",")[0] for one in caplog.messages] == [
        "small.gguf states attention.scale = 0.5",
        "small.gguf states rope.scaling.type = 'yarn'",
        "small.gguf states rope.scaling.factor = 4.0",
    ]
    assert all(one.endswith("the comparison uses that of the dense model.") for one in caplog.messages)


def test_equal_and_plain_fields_are_not_named(tmp_path, caplog):
    equal = {"rope.freq_base": 10000.0, "attention.layer_norm_rms_epsilon": 1e-6, "block_count": 5}
    plain = {"rope.scaling.type": "none", "rope.scaling.factor": 1.0}
    assert changed(tmp_path, "llama-gqa", equal | plain) == {} and caplog.messages == []


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^small\.gguf states rope\.freq_base = nan; give a file with a finite number"):
        changed(tmp_path, "llama-gqa", {"rope.freq_base": float("nan")})
