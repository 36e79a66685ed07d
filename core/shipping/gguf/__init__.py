"""A Llama or Gemma 3 model as a GGUF file, which llama.cpp and what is built on it run."""
