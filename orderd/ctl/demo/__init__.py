"""``orderctl demo``: a daemon with an engine of its own and a few clients, shown live."""
