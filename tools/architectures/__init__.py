"""Which architectures of transformers each family of methods works on, tried on tiny random models."""
