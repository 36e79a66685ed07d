"""The dashboard's server: `slimscope dashboard`.

Before it accepts visits, it draws the first page once, as its imports, rows and paired differences take longer than a
visit. All visits share them.
"""

import gc
import logging
from contextlib import suppress
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit.testing.v1 import AppTest

from dashboard import login

for name in ("caching.cache_data_api", "scriptrunner_utils.script_run_context"):  # they warn that no server runs yet
    logging.getLogger(f"streamlit.runtime.{name}").setLevel(logging.ERROR)

ENTRY = Path(__file__).with_name("app.py")
LONGEST = 60.0  # seconds

gc.disable()  # the first run creates little garbage; with many variants, looking for it takes a quarter of the time
with suppress(RuntimeError), login.suspended():  # it takes longer; visits compute the rest
    AppTest.from_file(ENTRY, default_timeout=LONGEST).run()
gc.enable()
gc.collect()
gc.freeze()  # Streamlit collects garbage after every run; frozen objects are skipped

app = st.App(ENTRY, middleware=[Middleware(login.WithoutMetrics)])
