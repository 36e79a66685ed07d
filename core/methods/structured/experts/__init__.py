"""Methods that remove whole experts from mixtures of experts."""
