"""The ground floor: errors, paths, progress, memory, plug-ins and files. It knows nothing of models."""
