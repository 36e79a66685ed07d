"""One module a group of families; each declares `FAMILIES`."""
