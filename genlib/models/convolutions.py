"""Which convolutions of a model are computed in another way on a CPU: none so far."""


def chosen() -> list:
    """What this process has decided by timing, or was told to, as JSON keeps it."""
    return []


def choose(decisions: list) -> None:
    """Take these decisions instead of timing; a convolution of which they say nothing stays torch's."""
