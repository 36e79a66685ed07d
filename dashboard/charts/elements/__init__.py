"""The parts of every chart: axes, facets, labels, marks and the style of methods."""
