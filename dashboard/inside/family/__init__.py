"""The tab of the family tree."""
