"""What the tests of the command line share."""

WORDS = [f"w{i}" for i in range(96)]  # of the tiny model and its text

RUN = ["run", "./tiny", "sparsegpt", "--calibration", "text.txt:4x32", "--perplexity", "text.txt@32:4"]
SWEEP = ["sweep", "--models", "./tiny", "--calibration", "text.txt:2x32", "--perplexity", "text.txt@32:2"]


def and_then(stages: str) -> list[str]:
    """Return the command of `RUN` with more stages."""
    command = list(RUN)
    command[2] += f"+{stages}"
    return command
