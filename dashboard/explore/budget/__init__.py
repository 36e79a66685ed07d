"""Trade-off view of Explore: a budget, the best variant within it, the list of all, and their chart."""
