"""The queue of runs, the processes that compute them, and who watches over these."""
