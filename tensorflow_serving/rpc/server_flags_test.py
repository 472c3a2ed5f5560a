"""Tests for server_flags."""

from absl.testing import absltest, flagsaver, parameterized

from tensorflow_serving.rpc import server_flags, shutdown


class ServerFlagsTest(parameterized.TestCase):
    """Tests of what becomes of the flags."""

    @parameterized.named_parameters(
        ("all", "", ":9000"),
        ("name", "localhost", "localhost:9000"),
        ("ipv4", "127.0.0.1", "127.0.0.1:9000"),
        ("ipv6", "::1", "[::1]:9000"),
        ("ipv6_in_brackets", "[::1]", "[::1]:9000"),
    )
    def test_host_and_port_make_an_address(
        self, host: str, address: str
    ) -> None:
        """The colons of an IPv6 address stay apart from that of the port."""
        with flagsaver.flagsaver(host=host):
            self.assertEqual(server_flags.address(9000), address)

    def test_shutdown_has_the_times_of_the_flags(self) -> None:
        """The delay of the drain and the grace of calls are two flags."""
        with flagsaver.flagsaver(
            drain_delay_seconds=1.0, shutdown_grace_seconds=2.0
        ):
            self.assertEqual(
                server_flags.shutdown(),
                shutdown.Shutdown(drain_delay_seconds=1, grace_seconds=2),
            )


if __name__ == "__main__":
    absltest.main()
