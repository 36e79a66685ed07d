"""The dashboard: pages, charts and exports. It imports `core`; `core` never imports it."""
