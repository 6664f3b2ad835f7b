"""orderctl: a client of orderd for people and scripts."""
