"""What each account holds and has open, and whether one more order may come on top of it. Pure.

``holdings`` is what is counted for each account and instrument, ``positions`` counts it, always; ``values`` is what it
is worth; ``limits`` are the bounds in whole lots and ticks, made of the ``settings``; ``rates`` are those that time
plays a part in. ``flow`` adds up a batch. ``checks`` says yes or no to one order, ``batches`` to a whole batch.
"""
