"""Tests for api_keys."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import api_keys
from tensorflow_serving.util import errors

_PREDICT = "/tensorflow.serving.PredictionService/Predict"


class ApiKeysTest(parameterized.TestCase):
    """Tests of decisions, and of single looks at the file."""

    def setUp(self) -> None:
        """Reads two keys."""
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "keys")
        self._write("first\nsecond\n")
        self.keys = self.enter_context(api_keys.ApiKeys(self.path, 0))

    def _write(self, text: str) -> None:
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def _poll(self) -> None:
        """Looks twice, the least that takes effect."""
        self.keys.poll_once()
        self.keys.poll_once()

    def _refusal(self, header: str, path: str = _PREDICT) -> str:
        """Returns the text with which calls of both ports are refused."""
        error = self.keys.refusal(
            path, [("x-a", "b"), ("authorization", header)]
        )
        text = "" if error is None else f"{error.code.name}: {error}"
        request = messages.Request(
            "POST", "/v1/models/m:predict", {"authorization": header}, b""
        )
        try:
            self.keys.admit(request)
        except errors.ServingError as refusal:
            self.assertEqual(f"{refusal.code.name}: {refusal}", text)
        else:
            self.assertEqual(text, "")
        return text

    @parameterized.parameters(
        "Bearer first", "Bearer second", "bearer first", "BEARER  first "
    )
    def test_caller_with_one_of_the_keys_may_call(self, header: str) -> None:
        """The scheme has no case, as HTTP has it."""
        self.assertEqual(self._refusal(header), "")

    @parameterized.parameters(
        ("", "none"),
        ("first", "another scheme"),
        ("Basic first", "another scheme"),
        ("Bearer", "another key"),
        ("Bearer third", "another key"),
        ("Bearer First", "another key"),
        ("Bearer firs", "another key"),
        ("Bearer first second", "another key"),
        ("Bearer \ufffd", "another key"),
    )
    def test_caller_without_one_is_refused(
        self, header: str, expected: str
    ) -> None:
        """The text says what is missing, and quotes nothing."""
        self.assertEqual(
            self._refusal(header),
            "UNAUTHENTICATED: authorization must be Bearer and an API key of "
            f"this server; got {expected}",
        )

    def test_call_without_metadata_is_refused(self) -> None:
        """There need not be a field at all."""
        self.assertIsNotNone(self.keys.refusal(_PREDICT, ()))
        with self.assertRaises(errors.UnauthenticatedError):
            self.keys.admit(messages.Request("GET", "/v1/models", {}, b""))

    def test_last_of_several_fields_counts(self) -> None:
        """A request of HTTP has no other."""
        fields = [("authorization", f"Bearer {key}") for key in ("a", "first")]
        self.assertIsNone(self.keys.refusal(_PREDICT, fields))
        self.assertIsNotNone(self.keys.refusal(_PREDICT, fields[::-1]))

    @parameterized.parameters(
        "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
    )
    def test_health_needs_no_key(self, path: str) -> None:
        """Those who ask for it know no keys."""
        self.assertIsNone(self.keys.refusal(path, ()))

    @parameterized.parameters(
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/readyz/half_plus_two"),
        ("OPTIONS", "/v1/models/m:predict"),
    )
    def test_health_and_preflight_need_no_key(
        self, method: str, path: str
    ) -> None:
        """A browser asks without the key whether it may send it."""
        self.keys.admit(messages.Request(method, path, {}, b""))

    @parameterized.parameters(
        "/metrics",
        "/monitoring/prometheus/metrics",
        "/v1/models",
        "/v1/config",
        "/v1/models/m",
        "/v1/models/m/metadata",
        "/healthz/",
        "/HEALTHZ",
        "/readyz%2fm",
        "//healthz",
        "*",
        "",
    )
    def test_all_other_paths_need_a_key(self, path: str) -> None:
        """A path that is like an open one is another one."""
        with self.assertRaises(errors.UnauthenticatedError):
            self.keys.admit(messages.Request("GET", path, {}, b""))

    def test_file_that_changes_takes_effect(self) -> None:
        """A key may be added before the old one is taken away."""
        for text, known, unknown in (
            ("second\nthird\n", ["second", "third"], ["first"]),
            ("third\n", ["third"], ["first", "second"]),
        ):
            before = self.keys.epoch
            self._write(text)
            self._poll()
            self.assertIsNot(self.keys.epoch, before)
            for key in known:
                self.assertEqual(self._refusal(f"Bearer {key}"), "")
            for key in unknown:
                self.assertNotEqual(self._refusal(f"Bearer {key}"), "")

    def test_file_that_is_being_written_is_left_alone(self) -> None:
        """Half of a file is found once only."""
        before = self.keys.epoch
        for text in ("", "sec", "second\nthi"):
            self._write(text)
            self.keys.poll_once()
            self.assertIs(self.keys.epoch, before)

    def test_file_without_a_change_has_no_effect(self) -> None:
        """Comments and the time of the file do not count."""
        before = self.keys.epoch
        self._write("# comment\nfirst\nsecond")
        self._poll()
        self.assertIs(self.keys.epoch, before)

    def test_bad_file_leaves_the_keys_and_is_logged_once(self) -> None:
        """It is logged again only if it was good in between."""
        with self.assertLogs("absl", "WARNING") as logs:
            for text in ("", "first\nno key\n", None):
                if text is None:
                    os.remove(self.path)
                else:
                    self._write(text)
                self._poll()
                self._poll()
                self.assertEqual(self._refusal("Bearer first"), "")
        self.assertEqual(len(logs.records), 3)
        self.assertNotIn("no key", str(logs.output))
        self._write("third")
        self._poll()
        self.assertEqual(self._refusal("Bearer third"), "")

    def test_bad_file_at_the_start_is_an_error(self) -> None:
        """There would be no keys at all."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "--api_key_file .* /no/such/file"
        ):
            api_keys.ApiKeys("/no/such/file")


if __name__ == "__main__":
    absltest.main()
