"""One file per page; other packages do the computation."""
