"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """Bad input or a missing resource; the message is one line and says what to do about it.

    The command line prints it without a traceback and exits with code 1; a running node logs it
    as a throttled warning, reports it in `/diagnostics`, and goes on.
    """
