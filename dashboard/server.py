"""The dashboard's server: `slimscope dashboard`.

Before it accepts visits, it draws the first page once, as its imports, rows and paired differences take longer than a
visit. All visits share them.
"""

import gc
import logging
import sys
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit.testing.v1 import AppTest

PROJECT = str(Path(__file__).resolve().parents[1])
if PROJECT not in sys.path:  # Streamlit adds only this file's folder
    sys.path.insert(0, PROJECT)

# It warns that no Streamlit runtime exists yet.
logging.getLogger("streamlit.runtime.caching.cache_data_api").setLevel(logging.ERROR)

from dashboard.preload import Preload  # noqa: E402

ENTRY = Path(__file__).with_name("app.py")
LONGEST = 600.0  # seconds; with many stored variants, it takes a while

AppTest.from_file(ENTRY, default_timeout=LONGEST).run()
gc.collect()
gc.freeze()  # Streamlit collects garbage after every run; frozen objects are skipped

app = st.App(ENTRY, middleware=[Middleware(Preload)])
