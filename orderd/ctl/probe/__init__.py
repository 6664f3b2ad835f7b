"""``orderctl probe``: the UDP road to the engine, tested by itself."""
