"""The app opened as by an address."""

from base64 import b64decode
from pathlib import Path

from numpy import frombuffer
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from core.base import paths

APP = str(paths.PROJECT / "dashboard" / "app.py")


def open_app(page=None, typed=None, **query) -> AppTest:
    """Open a page by an address with `query`, alone; `typed` are values that inputs hold already."""
    app = AppTest.from_file(APP, default_timeout=30)
    for name, value in query.items():
        app.query_params[name] = value
    for key, value in (typed or {}).items():
        app.session_state[key] = value
    if page:
        # `switch_page` knows the addresses of pages only after a run, which would draw Explore.
        app._page_hash = calc_hash(Path(page).parent.name)
    app.run()
    assert not app.exception
    return app


def chain_field(app: AppTest):
    """Return the field of the Run page that holds the written chain."""
    (field,) = (field for field in app.text_input if field.label == "Chain of stages")
    return field


def control(app: AppTest, key: str):
    """Return a group of buttons, such as a segmented control or pills."""
    (found,) = (group for group in app.get("button_group") if group.key == key)
    return found


def charts(app: AppTest) -> list:
    return app.get("plotly_chart")


def decoded(column) -> list[float]:
    """Return the numbers of a trace in a chart's JSON."""
    return column if isinstance(column, list) else list(frombuffer(b64decode(column["bdata"]), column["dtype"]))


def captions(app: AppTest) -> str:
    """Return the page's captions without the backslashes that escape literal signs."""
    return " ".join(caption.value for caption in app.caption).replace("\\", "")


def read(app: AppTest) -> str:
    """Return the page's Markdown without the backslashes that escape literal signs."""
    return " ".join(text.value for text in app.markdown).replace("\\", "")
