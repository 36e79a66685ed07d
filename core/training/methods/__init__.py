"""Recovery methods, and methods that prune during training, one file each."""
