"""Tests for options."""

import json
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.client import options
from tensorflow_serving.util import errors


def _arguments(**kwargs: Any) -> dict[str, Any]:
    server_options = options.Options("localhost:1", **kwargs)
    return dict(server_options.channel_arguments())


class OptionsTest(parameterized.TestCase):
    """Tests of the values that are allowed, and of those that gRPC gets."""

    @parameterized.parameters(
        ({"server": ""}, "server must be a host and a port, for example"),
        ({"max_attempts": 0}, "max_attempts must be 1 to 5; got 0"),
        ({"max_attempts": 6}, "max_attempts must be 1 to 5; got 6"),
        ({"first_pause_seconds": 0}, "must be at least 0.01; got 0"),
        ({"deadline_seconds": -1}, "deadline_seconds must be at least 0"),
        ({"keepalive_seconds": -1}, "keepalive_seconds must be at least 0"),
    )
    def test_wrong_value_is_invalid(
        self, values: dict[str, Any], text: str
    ) -> None:
        """The error says the rule and the value."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            options.Options(**{"server": "localhost:1", **values})

    def test_api_key_is_never_shown(self) -> None:
        """Neither an error nor the options quote it."""
        self.assertNotIn(
            "secret", str(options.Options("localhost:1", api_key="secret"))
        )
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "^api_key must be letters.*; got something else$",
        ):
            options.Options("localhost:1", api_key="secret word")

    def test_key_without_certificate_is_invalid(self) -> None:
        """A client proves itself with both or not at all."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be given together; got"
        ):
            options.TlsOptions(private_key_file="key.pem")

    def test_missing_file_is_an_error_of_the_system(self) -> None:
        """It names the file."""
        with self.assertRaisesRegex(FileNotFoundError, "no_such_file"):
            options.TlsOptions("no_such_file").credentials()

    def test_grpc_tries_again_when_unavailable(self) -> None:
        """No other failure is safe to try again."""
        config = json.loads(
            _arguments(max_attempts=4, first_pause_seconds=0.25)[
                "grpc.service_config"
            ]
        )
        (method,) = config["methodConfig"]
        self.assertEqual(
            method["retryPolicy"],
            {
                "maxAttempts": 4,
                "initialBackoff": "0.250000000s",
                "maxBackoff": "8.000000000s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        )

    def test_one_attempt_is_one(self) -> None:
        """There is no policy then."""
        self.assertNotIn(
            "retryPolicy", _arguments(max_attempts=1)["grpc.service_config"]
        )

    def test_pings_are_sent_if_wanted(self) -> None:
        """No ping is sent unless an option says so."""
        self.assertNotIn("grpc.keepalive_time_ms", _arguments())
        self.assertEqual(
            _arguments(keepalive_seconds=1.5)["grpc.keepalive_time_ms"], 1500
        )


if __name__ == "__main__":
    absltest.main()
