"""One file a page; the computation is in the modules beside this folder."""
