"""Parts of the measurements of the pages."""
