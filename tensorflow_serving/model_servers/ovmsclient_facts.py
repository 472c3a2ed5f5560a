"""Facts about model servers, as the package ovmsclient sees them.

    python -I ovmsclient_facts.py SETTINGS

See tensorflow_serving_api_facts for the settings. The package sends version 0
for the newest one.
"""

import importlib
import json
import sys
import unittest
from typing import Any

import numpy as np

# The build does not have the package.
ovmsclient = importlib.import_module("ovmsclient")
errors = importlib.import_module("ovmsclient.tfs_compat.base.errors")

_X = np.array([1, 2, 5], np.float32)

_settings: dict[str, Any] = {}


class _ClientTestCase(unittest.TestCase):
    """A client, and facts that do not depend on its protocol."""

    client: Any

    def assert_status_is_that_of_each_version(self) -> None:
        """Asks for all versions with 0, and for the one that there is."""
        available = {
            7: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
        }
        for version in (0, 7):
            status = self.client.get_model_status("small", version)
            self.assertEqual(status, available)

    def assert_unknown_models_are_not_found(self) -> None:
        """Asks all that can be asked for models and versions."""
        for call in (
            self.client.get_model_status,
            self.client.get_model_metadata,
        ):
            for arguments in (("no",), ("small", 9)):
                with self.assertRaises(errors.ModelNotFoundError):
                    call(*arguments)
        with self.assertRaisesRegex(
            errors.ModelNotFoundError, "Servable not found"
        ):
            self.client.predict({"x": _X}, "no")


class OvmsclientFacts(_ClientTestCase):
    """Its three calls over gRPC, its exceptions, and TLS."""

    def setUp(self) -> None:
        """Makes a client."""
        self.client = ovmsclient.make_grpc_client(_settings["address"])

    def test_predict_returns_arrays(self) -> None:
        """By name, if there are several."""
        outputs = self.client.predict({"x": _X}, "small")
        np.testing.assert_array_equal(outputs["y"], _X / 2 + 2)
        np.testing.assert_array_equal(outputs["z"], 2 * _X)
        outputs = self.client.predict({"x": _X}, "small", 7)
        self.assertEqual(outputs["y"].dtype, np.float32)

    def test_models_of_all_formats_answer(self) -> None:
        """One output comes without its name; a list becomes a tensor."""
        for model, key, offset in _settings["half_plus"]:
            with self.subTest(model):
                y = self.client.predict({key: [[1.0], [2.0]]}, model)
                np.testing.assert_array_equal(y, [[0.5 + offset], [1 + offset]])

    def test_metadata_have_the_inputs_and_outputs(self) -> None:
        """And the version that 0 stands for."""
        metadata = self.client.get_model_metadata("small")
        self.assertEqual(metadata["model_version"], 7)
        self.assertEqual(metadata["inputs"]["x"]["dtype"], "DT_FLOAT")
        self.assertEqual(sorted(metadata["outputs"]), ["y", "z"])

    def test_status_is_that_of_each_version(self) -> None:
        """All of them with version 0."""
        self.assert_status_is_that_of_each_version()

    def test_faults_are_the_exceptions_of_the_package(self) -> None:
        """It makes them of the codes."""
        self.assert_unknown_models_are_not_found()
        with self.assertRaises(errors.InvalidInputError):
            self.client.predict({"no": _X}, "small")

    def test_encrypted_servers_answer(self) -> None:
        """The second one wants a certificate of the client."""
        tls = {"server_cert_path": _settings["ca_file"]}
        mutual = {
            **tls,
            "client_key_path": _settings["client_key_file"],
            "client_cert_path": _settings["client_certificate_file"],
        }
        for address, config in (
            (_settings["tls_address"], tls),
            (_settings["mutual_tls_address"], mutual),
        ):
            client = ovmsclient.make_grpc_client(address, config)
            outputs = client.predict({"x": _X}, "small")
            np.testing.assert_array_equal(outputs["z"], 2 * _X)
        with self.assertRaises(ConnectionError):
            ovmsclient.make_grpc_client(
                _settings["mutual_tls_address"], tls
            ).predict({"x": _X}, "small")


class HttpClientFacts(_ClientTestCase):
    """Its client of the REST API, which asks with columns."""

    def setUp(self) -> None:
        """Makes a client."""
        self.client = ovmsclient.make_http_client(_settings["rest_address"])

    def test_predict_returns_arrays(self) -> None:
        """By name, if there are several."""
        for version in (0, 7):
            outputs = self.client.predict({"x": _X}, "small", version)
            np.testing.assert_array_equal(outputs["y"], _X / 2 + 2)
            np.testing.assert_array_equal(outputs["z"], 2 * _X)

    def test_models_of_all_formats_answer(self) -> None:
        """One output comes without its name."""
        for model, key, offset in _settings["half_plus"]:
            with self.subTest(model):
                y = self.client.predict({key: [[1.0], [2.0]]}, model)
                np.testing.assert_array_equal(y, [[0.5 + offset], [1 + offset]])

    def test_metadata_are_those_of_tensorflow_serving(self) -> None:
        """They are returned as they came; only OpenVINO's have other keys."""
        metadata = self.client.get_model_metadata("small")
        self.assertEqual(metadata["model_spec"]["version"], "7")
        signatures = metadata["metadata"]["signature_def"]["signature_def"]
        inputs = signatures["serving_default"]["inputs"]
        self.assertEqual(inputs["x"]["dtype"], "DT_FLOAT")

    def test_status_is_that_of_each_version(self) -> None:
        """All of them with version 0."""
        self.assert_status_is_that_of_each_version()

    def test_faults_are_the_exceptions_of_the_package(self) -> None:
        """It makes them of the codes, with the texts of the server."""
        self.assert_unknown_models_are_not_found()
        with self.assertRaisesRegex(
            errors.InvalidInputError, r"must have the keys \['x'\]"
        ):
            self.client.predict({"no": _X}, "small")


if __name__ == "__main__":
    with open(sys.argv.pop(), encoding="utf-8") as file:
        _settings.update(json.load(file))
    unittest.main()
