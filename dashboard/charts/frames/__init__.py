"""The rows behind charts: DataFrame in, DataFrame out."""
