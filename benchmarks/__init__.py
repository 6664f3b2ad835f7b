"""Measurements of orderd on the machine at hand. ``python -m benchmarks`` runs all that README quotes."""
