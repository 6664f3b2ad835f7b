"""What both daemons need around their cores: settings, instruments, logging, and the seams to clock and randomness."""
