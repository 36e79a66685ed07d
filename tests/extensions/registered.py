"""Runs Python code with the extensions registered: `python -m tests.extensions.registered CODE`.

The format is added to `FORMATS`, as a new file of the project would be. The methods are entry points of a package.
"""

import sys

from core.shipping import formats
from tests.extensions.export_format import SmallFiles

formats.FORMATS = (*formats.FORMATS, SmallFiles())

if __name__ == "__main__":
    exec(sys.argv[1], {"__name__": "registered"})
