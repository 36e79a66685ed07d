"""The browser side of Slimscope: pages, figures and exports. It imports `core`; `core` never imports it."""
