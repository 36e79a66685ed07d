"""The commands that look after this machine: `fetch`, `doctor`."""

from core.cli.console import bars, messages


def fetch() -> None:
    """Get the default model, tasks and texts before going offline."""
    from core.fetch import fetch as fetch_defaults

    with bars() as progress:
        fetch_defaults(progress)
    messages.print("The default model, tasks and texts are on this machine.")


def doctor() -> None:
    """Show what is installed, reachable and cached."""
    from core.cli.tables import print_table
    from core.doctor import report

    print_table(report())
