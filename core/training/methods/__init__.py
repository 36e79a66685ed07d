"""Recoveries, and methods that prune while they train, one file each."""
