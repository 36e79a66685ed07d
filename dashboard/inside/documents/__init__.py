"""The tab of documents: answers that two variants give differently."""
