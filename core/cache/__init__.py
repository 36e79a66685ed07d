"""The user cache: files of the hub and of wheels, variants, statistics and other reusable results."""
