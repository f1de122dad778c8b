"""How a command ends that cannot do what it was asked: by one sentence, and an exit code."""


class Ended(Exception):
    """It could not be done; the message is one sentence."""

    code = 1


class UsageError(Ended):
    """What the operator asked for does not exist; the message is one sentence."""

    code = 2
