"""Export of figures and tables as files for papers and reports."""
