"""The command line, `slimscope`: one file a group of commands."""
