"""``orderctl replay``: a recorded order flow through the daemon."""
