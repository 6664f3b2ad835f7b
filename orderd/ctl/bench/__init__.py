"""``orderctl bench``: a running daemon under load, measured from outside."""
