"""Serves session bundles: from folders of versions to loaders.

Example:
    config = session_bundle_config_pb2.SessionBundleConfig()
    with (
        SessionBundleFactory.create(config) as factory,
        SessionBundleSourceAdapter(factory) as adapter,
    ):
        connect_source_to_target(adapter, manager)
        connect_source_to_target(source_of_paths, adapter)
"""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload

from tensorflow_serving.core import loader, simple_loader_source_adapter
from tensorflow_serving.servables.tensorflow import warm_up
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.session_bundle import session_bundle


class Closeable(Protocol):
    """A servable that is closed when it is unloaded."""

    def close(self) -> None:
        """Frees what it holds, the bundle too."""


class BundleFactory(Protocol):
    """Loads bundles; the factories of this folder do."""

    def create_session_bundle(self, path: str) -> "_Bundle":
        """Loads what is in a folder."""

    def estimate_resource_requirement(self, path: str) -> int:
        """Returns how much memory it will take, in bytes."""


ServableT = TypeVar("ServableT", bound=Closeable)

_Bundle = session_bundle.SessionBundle[session_lib.Session]


def warmed_up(bundle: _Bundle) -> _Bundle:
    """Returns a bundle that was warmed up: serves it as it is."""
    warm_up.warm_up(bundle)
    return bundle


class SessionBundleSourceAdapter(
    simple_loader_source_adapter.SimpleLoaderSourceAdapter[str, ServableT],
    Generic[ServableT],
):
    """Loads what is in the folder of a version, and makes a servable of it.

    What is in the folder is up to the factory: an export of this project, or a
    SavedModel with a SavedModelBundleFactory.

    A version that is unloaded, or could not be loaded, leaves no graph behind:
    TensorFlow's memory is freed when the bundle is closed, whoever still has
    it.
    """

    @overload
    def __init__(
        self: "SessionBundleSourceAdapter[_Bundle]",
        factory: BundleFactory,
    ) -> None: ...

    @overload
    def __init__(
        self,
        factory: BundleFactory,
        prepare: Callable[[_Bundle], ServableT],
        warning: Callable[[ServableT], str] = loader.no_warning,
    ) -> None: ...

    def __init__(
        self,
        factory: BundleFactory,
        prepare: Callable[[_Bundle], Closeable] = warmed_up,
        warning: Callable[[Any], str] = loader.no_warning,
    ) -> None:
        """Takes what loads and what serves.

        Args:
          factory: Loads; must stay open as long as versions are loaded.
          prepare: Makes of a loaded bundle what is served, and warms it up. If
            it raises, the bundle is closed and the load fails with that error.
          warning: Returns a flaw of what is served; see Loader.
        """

        def create(path: str) -> Closeable:
            bundle = factory.create_session_bundle(path)
            try:
                return prepare(bundle)
            except BaseException:
                bundle.close()
                raise

        super().__init__(
            create,  # type: ignore[arg-type]
            factory.estimate_resource_requirement,
            lambda servable: servable.close(),
            warning,
        )
