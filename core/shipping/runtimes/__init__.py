"""What reads an export as its users do: scripts that stand alone, run in a process of their own, and never import ours.

Each reads JSON on stdin (path, prompts, tokens, threads) and prints as its last line JSON: of each prompt the ids of
its tokens and the five likeliest next ones with their log-probabilities, tokens a second, and versions.
"""
