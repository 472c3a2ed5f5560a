"""Waits until a model server is ready, as its REST API says."""

import requests


def wait_until_ready(url: str, num_times: int = 1) -> None:
    """Returns once a server is ready.

    Args:
      url: Its /readyz, or that of one of its models.
      num_times: How often it must say so in a row. Each worker says what it
        knows, and each time another one may answer.
    """
    num_ready = 0
    while num_ready < num_times:
        is_ready = requests.get(url).status_code == 200
        num_ready = num_ready + 1 if is_ready else 0
