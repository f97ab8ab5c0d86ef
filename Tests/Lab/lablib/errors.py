"""The one error that the lab reports to people."""


class LabError(Exception):
    """Something the lab cannot go on from. The message says what failed and what to do next."""
