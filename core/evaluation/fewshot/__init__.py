"""Few-shot prompts: the selection and order of the examples before a question, and instructions and reasoning.

They are built once with the dense model and cached, so that all its variants get the same prompts.
"""
