"""From durable orders to datagrams: when an order is due, what carries it, and whether the engine answers."""
