"""What ends an orderctl command early; each error is one line on stderr and an exit code."""

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


class CtlError(Exception):
    """Base of the family."""

    exit_code = EXIT_REFUSED


class ReplyError(CtlError):
    """The daemon answered with an error: ``word`` says what to do about it, ``text`` is the rest."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.word, _, self.text = message.partition(" ")


class InputError(CtlError):
    """A file or a value on the command line that cannot be used."""

    exit_code = EXIT_USAGE


class Unreachable(CtlError):
    """No daemon at the socket, or it went away, or it did not answer in time."""

    exit_code = EXIT_UNREACHABLE
