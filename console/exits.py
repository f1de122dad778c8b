"""The errors of a command: each ends it with one sentence and an exit code."""


class Ended(Exception):
    """The command failed; the message is one sentence."""

    code = 1


class UsageError(Ended):
    """The arguments of a command are invalid; the message is one sentence."""

    code = 2
