"""The numbers of variants: tidy rows, paired differences with intervals and verdicts, and how they are written."""
