"""Files whose content is known, found in folders or downloaded.

What counts is the content: the gzip container differs from site to site, so
checksums are of the uncompressed files.
"""

import dataclasses
import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence

import pooch
from absl import logging

from tensorflow_serving.util import errors, progress

# To connect, and between two packets: offline is noticed within seconds.
_TIMEOUTS_SECONDS = (3.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Archive:
    """A set of gzipped files that several sites offer."""

    # SHA-256 of the uncompressed content, by file name.
    checksums: Mapping[str, str]
    # Addresses that end in a slash, in order of preference.
    mirrors: Sequence[str]

    def read(
        self, names: Sequence[str], folders: Sequence[str]
    ) -> dict[str, bytes]:
        """Returns the uncompressed content of files, by name.

        Each is taken from the first folder that has it whole; else it is
        downloaded into the first folder, which is made if it does not exist.

        Args:
          names: Keys of checksums.
          folders: Where to look; at least one.

        Raises:
          UnavailableError: A file is nowhere to be had.
        """
        mirrors = list(self.mirrors)
        return {
            name: self._find(name, folders)
            or self._download(name, folders[0], mirrors)
            for name in names
        }

    def _find(self, name: str, folders: Sequence[str]) -> bytes | None:
        for folder in folders:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                content = self._read_checked(path, name)
                if content is not None:
                    return content
                logging.warning(
                    "%s must have the published content; got a corrupt or "
                    "truncated file, which is not used: looking further",
                    path,
                )
        return None

    def _download(self, name: str, folder: str, mirrors: list[str]) -> bytes:
        """Downloads a file; removes mirrors that fail from the list."""
        os.makedirs(folder, exist_ok=True)
        reasons = []
        for mirror in list(mirrors):
            url = mirror + name
            try:
                with tempfile.NamedTemporaryFile(dir=folder) as file:
                    pooch.HTTPDownloader(
                        progressbar=progress.bar(f"Fetching {url}", 0, "bytes"),
                        timeout=_TIMEOUTS_SECONDS,
                    )(url, file.name, None)
                    content = self._read_checked(file.name, name)
                    if content is not None:
                        _publish(file.name, os.path.join(folder, name))
                        return content
                reasons.append(f"{url}: not the published content")
            except OSError as error:
                reasons.append(f"{url}: {_root_cause(error)}")
            mirrors.remove(mirror)
        raise errors.UnavailableError(
            f"{name} must be in {folder}, in MNIST_DATA_DIR or on a mirror "
            f"that can be reached; got {'; '.join(reasons) or 'no mirror'}"
        )

    def _read_checked(self, path: str, name: str) -> bytes | None:
        """Returns the uncompressed content, or None if it is wrong."""
        try:
            with gzip.open(path) as file:
                content = file.read()
        except (OSError, EOFError, zlib.error):
            return None
        checksum = hashlib.sha256(content).hexdigest()
        return content if checksum == self.checksums[name] else None


def _publish(source: str, path: str) -> None:
    """Makes a temporary file permanent, all at once."""
    link = source + ".link"
    os.link(source, link)
    os.chmod(link, 0o644)
    os.replace(link, path)


def _root_cause(error: BaseException) -> str:
    """Returns the name of the first error of a chain."""
    while error.__context__ is not None:
        error = error.__context__
    return type(error).__name__ + (f" ({error})" if str(error) else "")
