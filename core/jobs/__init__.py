"""The queue of runs, their processes and the supervisor of these."""
