"""Methods that zero single weights."""
