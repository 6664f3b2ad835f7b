"""What orderd knows of its orders: the table, the ids, the executions, the checks, and the desk that ties them. Pure.

The unit of work is the group: records that were staged together are journaled, sent and confirmed as ranges of order
ids.
"""
