"""A source adapter for servables that a function makes of the data.

adapter = SimpleLoaderSourceAdapter[str, Table](
    create=read_table, estimate_ram_bytes=os.path.getsize
)
"""

import functools
from collections.abc import Callable
from typing import Generic, TypeVar

from typing_extensions import override

from tensorflow_serving.core import loader, source_adapter

DataT = TypeVar("DataT")
ServableT = TypeVar("ServableT")


class SimpleLoaderSourceAdapter(
    source_adapter.UnarySourceAdapter[DataT, loader.Loader],
    Generic[DataT, ServableT],
):
    """Makes a SimpleLoader for each version; see there and SourceAdapter.

    The functions run on threads of the manager, at the same time for different
    versions.
    """

    def __init__(
        self,
        create: Callable[[DataT], ServableT],
        estimate_ram_bytes: Callable[[DataT], int],
        close: Callable[[ServableT], None] | None = None,
        warning: Callable[[ServableT], str] = loader.no_warning,
    ) -> None:
        """Takes the functions.

        Args:
          create: Loads; returns the servable for the data of a version.
          estimate_ram_bytes: What that servable will take; called once.
          close: Frees a servable; None if forgetting it is enough.
          warning: Returns a flaw of a servable; see Loader.
        """
        super().__init__()
        self._create = create
        self._estimate_ram_bytes = estimate_ram_bytes
        self._close = close
        self._warning = warning

    @override
    def convert(self, data: DataT) -> loader.Loader:
        return loader.SimpleLoader(
            functools.partial(self._create, data),
            functools.partial(self._estimate_ram_bytes, data),
            self._close,
            self._warning,
        )
