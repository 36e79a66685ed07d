"""Execution of jobs on a Ray cluster: the executor, the process that speaks to Ray, and the actor of a job."""
