"""Seeds that found something, and what it was. All of it is mended, and each is run again with the tests.

A seed is a history only as long as the simulation does not change. So what was found in a daemon is planted, too
(``planted/patches``): ``lost-tail-taken-for-new``, ``pushes-go-on-past-a-gap``, ``batch-forgotten-while-open``,
``request-of-a-forgotten-order``.
"""

from typing import Final

REGRESSIONS: Final[dict[int, str]] = {
    1091: "the id of a batch was forgotten although one of its orders was open, and the batch was taken again",
    402: "a request by an id that was forgotten and, at that moment, used again: the oracle took -DUPLICATE for wrong",
    3277: "an answer of a life that had ended was read late, and the oracle held it against the next life",
    3642: "reports of a commit were heard before its orders were checked, which the oracle took for impossible",
    4586: "a cancel by an id that was forgotten and used again told of the newer order before that was durable",
    8159: "an order of another site expired between a look at the book and the end, which the world had not waited for",
    9317: "an end that cut a client off after exactly as long as the oracle allowed",
    9507: "the id of a forgotten order was that of a request, and the oracle took it for the order's",
    1331: "a question by the id of a request that came later: the oracle took -NOTFOUND for wrong",
}
