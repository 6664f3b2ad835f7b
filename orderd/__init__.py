"""orderd: the daemon through which the programs of a host place orders with a matching engine."""

__version__ = "0.1.0"
