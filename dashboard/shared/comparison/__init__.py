"""Parts of pages that compare variants."""
