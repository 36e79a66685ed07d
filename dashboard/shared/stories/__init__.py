"""Stories: short tours of Explore, with numbers of stored results."""
