"""Export of variants to files for other programs."""
