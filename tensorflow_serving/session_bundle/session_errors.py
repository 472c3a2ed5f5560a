"""Errors of a TensorFlow session, as errors that a client may see."""

import re

import tensorflow as tf

from tensorflow_serving.util import errors

# What a session wraps around the cause: where the graph was built, which node
# ran, and how many errors came at once.
_WRAPPING = re.compile(
    r"Graph execution error|Detected at node|Node: |\d+ root error|"
    r"\[\[|Original stack trace|File \"|\(most recent call last\)"
)
_NUMBERED = re.compile(r"^\(\d+\) (?:[A-Z_]+: )?")


def cause(error: tf.errors.OpError) -> str:
    """Returns the one line of an error's text that says what went wrong."""
    for line in error.message.splitlines():
        text = line.strip()
        if text and not _WRAPPING.search(text):
            return _NUMBERED.sub("", text)
    return type(error).__name__


def convert(error: tf.errors.OpError) -> errors.ServingError:
    """Returns the error of this project with the same status code."""
    return errors.from_code(error.error_code, cause(error))
