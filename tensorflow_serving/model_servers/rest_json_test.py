"""Tests for rest_json, with the other process as it is."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import json_document
from tensorflow_serving.model_servers import rest_json
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.util import errors

_DTYPES = {"x": types_pb2.DT_FLOAT}
_ROWS = {"instances": [1.5, 2]}
_LONG = 60.0

_Found = TypeVar("_Found")


def _short(document: object) -> bytes:
    return json.dumps(document).encode()


def _long(document: object) -> bytes:
    return _short(document) + b" " * 1_000_000


class RestJsonTest(parameterized.TestCase):
    """Texts of both lengths, on an event loop."""

    def _run(
        self,
        use: Callable[[rest_json.RestJson], Awaitable[_Found]],
        timeout_seconds: float = _LONG,
    ) -> _Found:
        async def run() -> _Found:
            found = rest_json.RestJson(timeout_seconds)
            try:
                return await use(found)
            finally:
                found.close()

        return asyncio.run(run())

    @parameterized.parameters(_short, _long)
    def test_length_of_a_text_makes_no_difference(
        self, text: Callable[[object], bytes]
    ) -> None:
        """Tensors, examples and the name of the signature are the same."""

        async def use(found: rest_json.RestJson) -> Any:
            first = await found.read(text({"signature_name": "s", **_ROWS}))
            form, tensors = await first.tensors(_DTYPES)
            second = await found.read(text({"examples": [{"a": 1}]}))
            return (
                (first.signature_name, form.value, tensors["x"].tolist()),
                (
                    second.signature_name,
                    len((await second.examples()).example_list.examples),
                ),
            )

        self.assertEqual(
            self._run(use), (("s", "instances", [1.5, 2.0]), ("", 1))
        )

    @parameterized.product(
        text=(_short, _long),
        document=([], {"signature_name": 1}, {"instances": ["a"]}),
    )
    def test_errors_are_the_same_too(
        self, text: Callable[[object], bytes], document: object
    ) -> None:
        """The next text is read as if there had been none."""

        async def use(found: rest_json.RestJson) -> float:
            for body in (text(document), text(document), text(_ROWS)):
                try:
                    read = await found.read(body)
                    _, tensors = await read.tensors(_DTYPES)
                    return float(tensors["x"][0])
                except errors.InvalidArgumentError:
                    self.assertNotEqual(body, text(_ROWS))
            self.fail("there must be tensors")

        self.assertEqual(self._run(use), 1.5)

    def test_long_text_is_read_elsewhere(self) -> None:
        """This process does not look at it."""

        async def use(found: rest_json.RestJson) -> None:
            await (await found.read(_long(_ROWS))).tensors(_DTYPES)

        with mock.patch.object(json_document, "parse") as parse:
            self._run(use)
            parse.assert_not_called()

    def test_long_response_is_written_elsewhere(self) -> None:
        """The other process has another folder."""

        async def use(found: rest_json.RestJson) -> tuple[bytes, bytes]:
            return (
                await found.write(100, os.getcwdb),
                await found.write(1_000_000, os.getcwdb),
            )

        self.assertEqual(self._run(use), (os.getcwdb(), b"/"))

    def test_long_text_waits_for_others_until_its_deadline(self) -> None:
        """Those that are closed let it through; short ones never wait."""

        async def use(found: rest_json.RestJson) -> None:
            first = await found.read(_long(_ROWS))
            with self.assertRaises(errors.DeadlineExceededError):
                await found.read(_long(_ROWS))
            await (await found.read(_short(_ROWS))).tensors(_DTYPES)
            first.close()
            first.close()
            second = await found.read(_long(_ROWS))
            await second.tensors(_DTYPES)
            second.close()
            (await found.read(_long(_ROWS))).close()

        self._run(use, timeout_seconds=1.0)

    def test_client_that_leaves_lets_others_through(self) -> None:
        """It does not matter for what its text waits."""

        async def use(found: rest_json.RestJson) -> None:
            async def read() -> None:
                (await found.read(_long(_ROWS))).close()

            first = await found.read(_long(_ROWS))
            left = [asyncio.create_task(read()) for _ in range(3)]
            await asyncio.sleep(0)
            left[0].cancel()
            first.close()
            await asyncio.sleep(0)
            left[1].cancel()
            await left[2]
            await asyncio.gather(*left, return_exceptions=True)
            await read()

        self._run(use)

    def test_text_is_gone_with_the_process_that_has_read_it(self) -> None:
        """Nobody gets the tensors of another request."""

        async def use(found: rest_json.RestJson) -> None:
            document = await found.read(_long(_ROWS))
            with self.assertRaises(errors.UnavailableError):
                await found.run(os.abort)
            with self.assertRaises(errors.UnavailableError):
                await document.tensors(_DTYPES)
            await (await found.read(_long(_ROWS))).tensors(_DTYPES)

        self._run(use)


if __name__ == "__main__":
    absltest.main()
