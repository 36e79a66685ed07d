"""Model folders that tests damage."""

import json

ODD = ("[]", "null", "5")


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
