"""A command group with a default subcommand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

DEFAULT = "list"  # the subcommand that runs if the first word names none


class DefaultGroup(TyperGroup):
    """A group that runs `DEFAULT` unless the first word names another subcommand; its help lists both."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in self.get_help_option_names(ctx))
        return super().parse_args(ctx, args if named else [DEFAULT, *args])

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        return self.commands[DEFAULT].collect_usage_pieces(ctx)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        self.commands[DEFAULT].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
