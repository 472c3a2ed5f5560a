"""Tests for channel_arguments."""

import dataclasses
import math
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import channel_arguments, options
from tensorflow_serving.rpc.http2 import limits
from tensorflow_serving.util import errors

_INFINITE = 2**31 - 1


class ChannelArgumentsTest(parameterized.TestCase):
    """Tests of single arguments and of lists."""

    @parameterized.parameters(
        ("grpc.max_concurrent_streams=100", {"max_concurrent_streams": 100}),
        # More do not fit into one window.
        (
            f"grpc.max_concurrent_streams={_INFINITE}",
            {"max_concurrent_streams": 32767},
        ),
        ("grpc.max_metadata_size=8192", {"max_header_list_bytes": 8192}),
        (
            "grpc.max_metadata_size=100000",
            {
                "max_header_list_bytes": 100_000,
                "max_decoded_header_bytes": 100_000,
            },
        ),
        ("grpc.http2.max_frame_size=16384", {"max_frame_bytes": 16384}),
        ("grpc.max_connection_age_ms=2000", {"max_age_seconds": 2.0}),
        (f"grpc.max_connection_age_ms={_INFINITE}", {"max_age_seconds": 0.0}),
        (
            "grpc.max_connection_age_grace_ms=0",
            {"max_age_grace_seconds": 0.0},
        ),
        ("grpc.max_connection_idle_ms=500", {"max_idle_seconds": 0.5}),
        ("grpc.keepalive_time_ms=30000", {"keep_alive_seconds": 30.0}),
        (f"grpc.keepalive_time_ms={_INFINITE}", {"keep_alive_seconds": 0.0}),
        (
            f"grpc.keepalive_timeout_ms={_INFINITE}",
            {"keep_alive_timeout_seconds": math.inf},
        ),
        ("grpc.server_handshake_timeout_ms=50", {"handshake_seconds": 0.05}),
    )
    def test_argument_becomes_a_limit(
        self, text: str, changes: dict[str, Any]
    ) -> None:
        """All other limits stay as they are."""
        self.assertEqual(
            channel_arguments.applied(text, options.Options()).limits,
            dataclasses.replace(limits.Limits(), **changes),
        )
        self.assertEqual(channel_arguments.without_effect(text), [])

    @parameterized.parameters(
        (f"grpc.max_receive_message_length={1 << 20}", 1 << 20),
        ("grpc.max_receive_message_length=-1", _INFINITE),
    )
    def test_size_of_requests_may_be_limited(
        self, text: str, num_bytes: int
    ) -> None:
        """The number -1 stands for no limit."""
        applied = channel_arguments.applied(text, options.Options())
        self.assertEqual(applied.max_request_bytes, num_bytes)

    def test_port_may_be_shared(self) -> None:
        """Here it is not, unless somebody says so."""
        applied = channel_arguments.applied(
            "grpc.so_reuseport=1", options.Options()
        )
        self.assertTrue(applied.reuse_port)

    def test_arguments_without_effect_are_known(self) -> None:
        """Others may be beside them, and those that are the case anyway."""
        text = (
            "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb,"
            "grpc.so_reuseaddr=1,grpc.max_send_message_length=5"
        )
        self.assertEqual(
            channel_arguments.without_effect(text),
            ["grpc.lb_policy_name", "grpc.max_send_message_length"],
        )
        applied = channel_arguments.applied(text, options.Options())
        self.assertEqual(applied.limits.max_age_seconds, 2)

    @parameterized.parameters(
        ("grpc.max_metadata_size", "must be a list such as"),
        ("=5", "must be a list such as"),
        ("grpc.keepalive_time_ms=1s", "must be a whole number .*; got 1s"),
        ("grpc.keepalive_time_ms=4294967296", "must be a whole number"),
        ("grpc.max_connection_age_ms=0", "must be at least 1; got 0"),
        ("grpc.max_concurrent_streams=0", "must be at least 1; got 0"),
        ("grpc.http2.max_frame_size=1", "must be at least 16384; got 1"),
        ("grpc.max_receive_message_length=0", "must be at least 1; got 0"),
    )
    def test_argument_that_is_wrong_is_refused(
        self, text: str, expected: str
    ) -> None:
        """The error has the rule, and the value."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, expected):
            channel_arguments.applied(text, options.Options())


if __name__ == "__main__":
    absltest.main()
