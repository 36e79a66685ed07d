"""The Run page: its view, its forms and its jobs."""
