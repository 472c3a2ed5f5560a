"""Data that is too large or too old for the repository.

Tests find it in the folder "shared/data" beside the checkout, where there is
one: real MNIST files, a real export of 2016, real SavedModels. A test that
cannot do without is skipped and says so.
"""

import os
import unittest


def find(*parts: str) -> str | None:
    """Returns the path of a file or folder of the data; None if absent."""
    # Test files are links into the checkout, or copies in the checkout.
    here = os.path.realpath(__file__)
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    path = os.path.join(os.path.dirname(checkout), "shared", "data", *parts)
    return path if os.path.exists(path) else None


def path_or_skip(test: unittest.TestCase, *parts: str) -> str:
    """Returns the path of a file or folder; skips the test if it is absent."""
    path = find(*parts)
    if path is None:
        test.skipTest(f"needs {os.path.join('../shared/data', *parts)}")
    return path
