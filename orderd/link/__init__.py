"""How a session's orders get to the engine, and its reports back, exactly once and in order. Pure.

Nothing here has a clock or a socket: time is the argument ``now`` in seconds, and each state machine says which
datagrams to send and when it wants to be woken. ``sender`` is orderd's end, ``receiver`` the engine's.
"""
