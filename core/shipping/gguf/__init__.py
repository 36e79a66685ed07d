"""Export of a Llama or Gemma 3 model as a GGUF file, for llama.cpp and programs built on it."""
