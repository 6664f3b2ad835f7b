"""What the oracle says when a rule is broken."""


class Contradiction(Exception):
    """What was seen cannot be. ``rule`` is its name, the text says who, what, when, what was expected and found."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule
