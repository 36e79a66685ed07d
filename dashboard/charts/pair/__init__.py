"""Two variants compared: the rows of their chart, the better one in words, and the chart."""
