"""Scripts that read an export as its users do. Each runs in its own process and never imports this project.

Each reads JSON on stdin (path, prompts, tokens, threads, packages). Its last line of output is JSON: of each prompt the
token ids and the five likeliest next tokens with log-probabilities, then tokens per second and versions.
"""
