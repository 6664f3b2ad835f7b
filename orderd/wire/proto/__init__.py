"""The gRPC service of an engine: ``engine.proto``, and what is generated from it with ``make proto``.

Its messages carry the frames of :mod:`orderd.wire.frames` as they are, so one codec, one authentication and one core
serve both roads.
"""
