"""The chain on the Run page: its text, its cards and its address agree, whichever is edited."""

import pytest
from streamlit.testing.v1 import AppTest

from core.cache import hub
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Fewshot, Perplexity, Task, TextWindows
from dashboard import data
from tests.dashboard.opened import chain_field, open_app

pytestmark = pytest.mark.usefixtures("store")


def shown_form():
    from dashboard.run.chain_form import chain_input

    chain_input()


def form(chain=None):
    """Open the form of a chain without the rest of the page."""
    app = AppTest.from_function(shown_form)
    if chain is not None:
        app.query_params["chain"] = chain
    app.run()
    assert not app.exception
    return app


def text(app):
    return chain_field(app).value


def typed(app, chain):
    chain_field(app).set_value(chain).run()
    assert not app.exception
    return app


def methods(app):
    """Return the methods of the cards from top to bottom."""
    return [box.value for box in app.selectbox if box.key.startswith("run_card") and box.key.endswith("_method")]


def press(app, button, card):
    app.button(key=f"run_card{card}_{button}").click().run()
    assert not app.exception


def test_a_method_has_a_field_for_every_declared_parameter():
    app = form("sparsegpt@0.5")
    assert app.number_input(key="run_card0_of_sparsegpt_damping").value == 0.01
    assert app.number_input(key="run_card0_of_sparsegpt_block_size").min == 1
    assert app.toggle(key="run_card0_of_sparsegpt_true_sequential").value is True
    app.selectbox(key="run_card0_method").set_value("magnitude").run()
    assert app.selectbox(key="run_card0_of_magnitude_allocation").options == ["uniform", "global", "owl", "sensitivity"]
    assert text(app) == "magnitude@0.5"


def test_a_browser_that_has_the_field_but_no_value_yet_sends_the_chain():
    assert chain_field(form("sparsegpt@0.5")).proto.default == "sparsegpt@0.5"


def test_a_typed_chain_sets_the_cards():
    app = typed(form(), "magnitude@0.50 + wanda@2:4,true_sequential=no,layers=0:9 + lora,minutes=5.0")
    assert methods(app) == ["magnitude", "wanda", "lora"]
    assert app.number_input(key="run_card0_ratio").value == 0.5
    assert app.selectbox(key="run_card1_pattern").value == "2:4"
    assert app.toggle(key="run_card1_of_wanda_true_sequential").value is False
    assert app.text_input(key="run_card1_layers").value == "0:9"
    assert app.number_input(key="run_card2_of_lora_minutes").value == 5.0
    assert text(app) == "magnitude@0.5+wanda@2:4,true_sequential=false,layers=0:9+lora,minutes=5"
    typed(app, "lora")
    assert methods(app) == ["lora"] and app.number_input(key="run_card0_of_lora_minutes").value is None
    for chain, embedding in (("gptq@4bit+rtn@8bit,on=embedding", True), ("rtn@8bit", False)):
        captions = " ".join(caption.value for caption in typed(app, chain).caption)
        assert ("Embedding only" in captions) is embedding


def test_cards_set_the_chain_text():
    app = form("wanda@0.5")
    app.segmented_control(key="run_card0_kind").set_value("pattern").run()
    app.selectbox(key="run_card0_pattern").set_value("4:8").run()
    assert text(app) == "wanda@4:8"
    app.button(key="run_add").click().run()
    assert text(app) == "wanda@4:8+adaprune"
    press(app, "Remove", 1)
    app.selectbox(key="run_card0_method").set_value("shortgpt").run()
    app.button(key="run_add").click().run()
    assert text(app) == "shortgpt@0.5+lora"
    press(app, "Remove", 2)
    app.selectbox(key="run_card0_method").set_value("wanda").run()
    app.button(key="run_add").click().run()
    app.selectbox(key="run_card3_method").set_value("lora").run()
    app.number_input(key="run_card3_of_lora_learning_rate").set_value(1e-5).run()
    app.number_input(key="run_card3_of_lora_rank").set_value(4).run()
    app.number_input(key="run_card3_of_lora_alpha").set_value(None).run()
    assert text(app) == "wanda@4:8+lora,learning_rate=1e-05,rank=4"
    assert app.query_params["chain"] in (text(app), [text(app)])


def test_moved_cards_keep_their_values():
    app = form("magnitude@0.3+lora,minutes=5+wanda@0.6,seed=2")
    press(app, "Move down", 0)
    assert text(app) == "lora,minutes=5+magnitude@0.3+wanda@0.6,seed=2"
    app.number_input(key="run_card1_of_lora_minutes").set_value(2.0)  # just before the click
    press(app, "Move up", 2)
    assert text(app) == "lora,minutes=2+wanda@0.6,seed=2+magnitude@0.3"
    assert app.button(key="run_card1_Move up").disabled and app.button(key="run_card0_Move down").disabled
    press(app, "Remove", 1)
    assert text(app) == "wanda@0.6,seed=2+magnitude@0.3"
    app.button(key="run_add").click().run()
    assert app.session_state["run_cards"] == [2, 0, 3]
    press(app, "Remove", 3)
    press(app, "Remove", 2)
    assert text(app) == "magnitude@0.3"
    assert not [button for button in app.button if button.key == "run_card0_Remove"]


@pytest.mark.parametrize("chain", ["", "wanda@0.5+", "dense+lora", 'lora,teacher="x', f"lora,steps={10**20}"])
def test_a_link_with_an_invalid_chain_opens_the_form_with_an_error(chain):
    app = form(chain)
    assert methods(app) == ["wanda"] and len(app.error) == 1 and text(app) == chain


def test_an_invalid_chain_names_the_position_and_keeps_the_cards():
    app = form("wanda@0.4+lora,minutes=5")
    typed(app, "wanda@0.4+lorx,minutes=5")
    (error,) = app.error
    assert error.value == "Character 11: Unknown stage 'lorx'; did you mean 'lora'?"
    assert methods(app) == ["wanda", "lora"]
    app.number_input(key="run_card0_ratio").set_value(0.3).run()
    assert text(app) == "wanda@0.4+lorx,minutes=5"  # edits of the cards keep the text
    app.button(key="run_rewrite").click().run()
    assert text(app) == "wanda@0.3+lora,minutes=5" and not app.error
    typed(app, "wandaa")
    typed(app, "ria@0.2")
    assert methods(app) == ["ria"] and not app.error


def test_dense_accepts_no_further_stages():
    app = form("dense")
    assert app.button(key="run_add").disabled and not app.error
    typed(app, "wanda@0.5+lora")
    assert not [option for option in app.selectbox(key="run_card0_method").options if option.startswith("Dense")]


def test_special_characters_in_names_are_preserved(tmp_path):
    folder = tmp_path / 'a, b+c "d" @e=f'
    app = form("magnitude@0.5 distill-white")  # some programs write + as a space
    app.text_input(key="run_card1_of_distill-white_teacher").set_value(str(folder)).run()
    app.text_input(key="run_card1_text").set_value(f"{folder}/own text.txt:16x64").run()
    chain = text(app)
    for one in (app, form(chain)):
        assert one.text_input(key="run_card1_of_distill-white_teacher").value == str(folder)
        assert one.text_input(key="run_card1_text").value == f"{folder}/own text.txt:16x64"
        assert methods(one) == ["magnitude", "distill-white"] and text(one) == chain


def test_an_error_is_on_the_card_of_its_stage(typing):
    app = open_app("run/view.py", chain="wanda@0.4+magnitude@0.6+lora")

    def blamed(stage):
        """Return the one error, if the page asks to correct that stage."""
        (error,) = app.error
        assert any(f"Correct stage {stage} of the chain" in caption.value for caption in app.caption)
        assert app.button(key="run_start").disabled and len(methods(app)) == 3
        return error.value

    app.number_input(key="run_card2_of_lora_minutes").set_value(0.0).run()
    assert "minutes = '0'" in blamed(3)
    app.number_input(key="run_card2_of_lora_minutes").set_value(None).run()
    app.number_input(key="run_card1_ratio").set_value(None).run()
    assert "magnitude@0.5" in blamed(2)
    app.segmented_control(key="run_card1_kind").set_value("pattern").run()
    for pattern, named in (("2:4+lora", "Unexpected"), ("2:7", "2:7")):
        app.session_state["run_card1_pattern"] = pattern
        app.run()
        (error,) = app.error
        assert named in error.value and app.button(key="run_start").disabled and len(methods(app)) == 3


def test_the_form_is_kept_while_another_page_is_open():
    chain = "wanda@4:8,layers=0:9+lora,minutes=5,seed=2+sparsegpt@0.7,damping=0.1"
    app = open_app("run/view.py", chain=chain, run_windows="8", run_spread="true", run_tasks="PIQA")
    press(app, "Move down", 1)
    app.number_input(key="run_train_windows").set_value(64).run()
    app.switch_page("autopilot/view.py").run()
    app.switch_page("run/view.py").run()
    assert text(app) == "wanda@4:8,layers=0:9+sparsegpt@0.7,damping=0.1+lora,minutes=5,seed=2"
    assert app.number_input(key="run_train_windows").value == 64
    assert app.number_input(key="run_windows").value == 8 and app.checkbox(key="run_spread").value
    assert app.multiselect(key="run_tasks").value == ["piqa"]
    press(app, "Remove", 2)
    assert text(app) == "wanda@4:8,layers=0:9+lora,minutes=5,seed=2"
    typed(app, "wanda@0.4+lorx")
    app.switch_page("autopilot/view.py").run()
    app.switch_page("run/view.py").run()
    assert text(app) == "wanda@0.4+lorx" and len(app.error) == 1 and app.button(key="run_start").disabled


def test_the_queued_run_equals_the_run_of_the_command_line():
    app = open_app("run/view.py")
    for chain in (
        "wanda@0.5+distill-white,divergence=reverse,temperature=2.5+sparsegpt@2:4,seed=3",
        "svd@0.333333+lora,alpha=1.23456789",
        "wanda@0.3,layers=0:3+wanda@0.5,text=passages-calibration:4x128",
    ):
        typed(app, chain)
        app.button(key="run_start").click().run()
        wanted = complete("smollm2-135m", chain, RunSettings(perplexity=[Perplexity.parse("passages-eval@2048:16")]))
        assert data.queue().jobs()[0].spec == wanted
    typed(app, "wanda@0.3")
    chain_field(app).set_value("wanda@0.2")  # just before the click
    app.button(key="run_start").click().run()
    assert data.queue().jobs()[0].spec.variant.stages[0].ratio == 0.2


LINK = {
    **{"run_model": "smollm2-360m", "chain": "wanda@0.3+lora,minutes=5", "run_seed": "3"},
    **{"run_calibration_corpus": "c4-sample", "run_calibration_windows": "8", "run_calibration_window": "1024"},
    **{"run_train_corpus": "alpaca", "run_train_windows": "64", "run_train_window": "128"},
    **{"run_perplexity": ["WikiText-2", "PTB (test)"], "run_window": "512", "run_windows": "0"},
    **{"run_tasks": ["PIQA", "BoolQ"], "run_limit": "20", "run_scoring": "bf16", "run_shots": "4"},
    **{"run_selector": "most like the question", "run_order": "most similar last"},
    **{"run_template": "as turns of a chat", "run_fidelity": "true", "run_latency": "true"},
    **{"run_dtype": "float16", "run_device": "cuda:1", "run_memory": "20GB", "run_threads": "3"},
}
SHOTS = Fewshot.parse("4,selector=nearest,order=similar-last,template=chat")


def address(app):
    return {name: values if len(values) > 1 else values[0] for name, values in app.query_params.items()}


def test_a_link_restores_the_whole_form(monkeypatch, typing):
    monkeypatch.setattr(hub, "revision", lambda *_: 40 * "0")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    app = open_app("run/view.py", **LINK | {"run_perplexity": ["WikiText-2", "ptb"]})  # an older link has ids
    assert not app.error
    app.button(key="run_start").click().run()
    (job,) = data.queue().active()
    machine = {"dtype": "float16", "device": "cuda:1", "memory": 20 * 10**9, "threads": 3}
    assert job.spec == complete(
        *("smollm2-360m", "wanda@0.3+lora,minutes=5"),
        RunSettings(
            calibration=TextWindows.parse("c4-sample:8x1024"),
            train=TextWindows.parse("alpaca:64x128"),
            perplexity=[Perplexity.parse("wikitext2@512"), Perplexity.parse("ptb@512")],
            tasks=[Task(task=name, limit=20, fewshot=SHOTS) for name in ("piqa", "boolq")],
            **{"seed": 3, "scoring": "bfloat16", "fidelity": True, "latency": True} | machine,
        ),
    )
    assert address(app) == LINK


def test_invalid_and_default_values_of_a_link_are_ignored():
    invalid = {
        **{"run_windows": "many", "run_limit": "x", "run_latency": "maybe", "run_tasks": "nonsense"},
        **{"run_dtype": "float8", "run_scoring": "fp8", "run_mode": "Nothing", "run_seed": "99999999999999"},
        **{"run_window": "1", "run_calibration_windows": "-1"},
    }
    app = open_app("run/view.py", chain="wanda@0.3", **invalid)
    assert not app.error and not app.button(key="run_start").disabled and chain_field(app).value == "wanda@0.3"
    app = open_app("run/view.py", chain="wanda@0.3")
    app.number_input(key="run_seed").set_value(0).run()
    assert address(app) == {"chain": "wanda@0.3"}


def test_each_unknown_name_in_a_link_has_an_error():
    unknown = {"run_device": "gpu", "run_calibration_corpus": "nonsense", "run_perplexity": "noise"}
    app = open_app("run/view.py", chain="wanda@0.3", **unknown)
    errors = " ".join(error.value for error in app.error)
    assert len(app.error) == 3 and all(f"'{name}'" in errors for name in unknown.values())
    assert app.button(key="run_start").disabled
