"""The load of this machine before a run starts."""

import os

import psutil

NOTICED = 1.25  # factor below which a machine counts as quiet


def slowdown() -> float:
    """Return how many times longer a run takes beside the programs that run now; 1 on a quiet machine.

    On average over the last minute, n threads shared c cores. A run of c threads then gets c / (c + n) of their time.
    """
    factor = 1 + psutil.getloadavg()[0] / (os.cpu_count() or 1)
    return factor if factor >= NOTICED else 1.0
