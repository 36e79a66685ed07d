"""Few-shot prompts: which demonstrations stand before a question, in what order, and what is said around them.

They are built once, from the dense model, and kept, so that every variant of it reads the same prompts.
"""
