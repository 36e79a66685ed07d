"""From results to what they say: DataFrame in, DataFrame out."""
