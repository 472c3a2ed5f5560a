"""The names that the folders of versions have."""

from typing import Final

# Versions are int64 in every message that holds one.
MAX_VERSION: Final = 2**63 - 1


def parse(name: str) -> int | None:
    """Returns the version that a folder of this name holds; None for others.

    A version is written in ASCII digits, with leading zeros or without, and is
    at most MAX_VERSION.
    """
    if not (name.isascii() and name.isdecimal()):
        return None
    digits = name.lstrip("0") or "0"
    # Longer numbers are out of range, and int() refuses very long ones.
    if len(digits) > len(str(MAX_VERSION)) or int(digits) > MAX_VERSION:
        return None
    return int(digits)
