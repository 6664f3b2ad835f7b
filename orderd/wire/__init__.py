"""The bytes that travel between orderd and an engine: records, reports, frames, tags. Pure.

``docs/PROTOCOL.md`` has the same layouts with offsets and test vectors, enough to write the other side in another
language.
"""
