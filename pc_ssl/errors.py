"""Exceptions for mistakes in the user's input, as opposed to defects of the program."""


class UserError(ValueError):
    """Bad input: a file, a field, an option. The message is one line with what was found and what was expected.

    The command line prints the message without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError):
    """A wrong option or argument, found before any work was done."""

    exit_code = 2
