"""Generation of answers, token by token."""
