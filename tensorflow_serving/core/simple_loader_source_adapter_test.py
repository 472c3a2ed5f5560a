"""Tests for simple_loader_source_adapter."""

from absl.testing import absltest

from tensorflow_serving.core import servable, simple_loader_source_adapter
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.util import errors

_ID = servable.ServableId("name", 1)


class SimpleLoaderSourceAdapterTest(absltest.TestCase):
    """Makes a loader for each version."""

    def test_loader_calls_the_functions_with_the_data(self) -> None:
        """A servable is made when it is loaded, and closed at its end."""
        created: list[str] = []
        closed: list[list[str]] = []

        def create(data: str) -> list[str]:
            created.append(data)
            return [data]

        adapter = simple_loader_source_adapter.SimpleLoaderSourceAdapter[
            str, list[str]
        ](create, len, closed.append)
        with adapter:
            (version,) = adapter.adapt(
                "name", [servable.ServableData.ok(_ID, "data")]
            )
        loader = version.data_or_raise()
        self.assertEqual(
            loader.estimate_resources(), resource_tracker.ResourceAllocation(4)
        )
        self.assertEqual(created, [])
        loader.load()
        self.assertEqual(created, ["data"])
        self.assertEqual(loader.servable(), ["data"])
        loader.unload()
        self.assertEqual(closed, [["data"]])

    def test_each_version_has_a_loader(self) -> None:
        """They do not share servables."""
        adapter = simple_loader_source_adapter.SimpleLoaderSourceAdapter[
            str, list[str]
        ](lambda data: [data], len)
        with adapter:
            loaders = [adapter.convert(data) for data in ("a", "b")]
        for loader in loaders:
            loader.load()
        self.assertEqual([each.servable() for each in loaders], [["a"], ["b"]])
        loaders[0].unload()
        self.assertEqual(loaders[1].servable(), ["b"])

    def test_version_with_an_error_has_no_loader(self) -> None:
        """It keeps its error."""
        adapter = simple_loader_source_adapter.SimpleLoaderSourceAdapter[
            str, str
        ](str, len)
        error = errors.NotFoundError("gone")
        with adapter:
            self.assertEqual(
                adapter.adapt(
                    "name", [servable.ServableData[str].failed(_ID, error)]
                ),
                [servable.ServableData.failed(_ID, error)],
            )


if __name__ == "__main__":
    absltest.main()
