"""Why the desk does not take what a client asks for. After any of these nothing of it was journaled."""


class Refused(Exception):
    """``str()`` is the text for the client; :attr:`word` is the first word of the error reply."""

    word = "ERR"


class BadOrder(Refused):
    """It does not fit: an impossible value, an unknown symbol, a word that is not supported."""

    word = "BADORDER"


class Duplicate(Refused):
    """The id is known and stands for something else: row ``row``, which may not be durable yet."""

    word = "DUPLICATE"

    def __init__(self, text: str, row: int) -> None:
        super().__init__(text)
        self.row = row


class NotFound(Refused):
    """No order of that id is remembered."""

    word = "NOTFOUND"


class Full(Refused):
    """A bound is reached; it is named. Try again later."""

    word = "FULL"


class Throttled(Refused):
    """This connection has or does too much; the bound is named. Others are served."""

    word = "THROTTLED"


class Halted(Refused):
    """Trading is halted or reducing. Cancels pass; this does not until it is active again."""

    word = "HALTED"


class Limit(Refused):
    """A risk limit is reached: the text begins with its name, the value and the bound."""

    word = "LIMIT"


class Trimmed(Refused):
    """The executions asked for are gone."""

    word = "TRIMMED"


class ReportMismatch(Exception):
    """The engine reports an order that was never sent to it: one of the two runs on a wrong journal."""


class InstrumentsChanged(Exception):
    """The settings give an instrument of the journal another symbol, tick or lot."""
