"""The commands that look after this machine: `fetch`, `doctor`."""

from core.cli.console import bars
from core.cli.tables import print_table


def fetch() -> None:
    """Get the default model, tasks and texts before going offline."""
    from core.cli.fetch import fetch as fetch_defaults

    with bars() as progress:
        fetched = fetch_defaults(progress)
    print_table([{"name": row.name, "from": row.source, "problem": row.problem or ""} for row in fetched])


def doctor() -> None:
    """Show what is installed, reachable and cached."""
    from core.cli.doctor import report

    print_table([{"what": c.group, "name": c.name, "ok": "yes" if c.ok else "no", "": c.detail} for c in report()])
