"""File names between bytes and text as os.fsencode() and os.fsdecode() do it, without ``os``.

Importing that is a tenth of a whole monitor, and what else a monitor needs of it stands in ``posix``.
"""

import sys

_ENCODING = sys.getfilesystemencoding()
_ERRORS = sys.getfilesystemencodeerrors()


def encode(path: str) -> bytes:
    """The name as the kernel has it."""
    return path.encode(_ENCODING, _ERRORS)


def decode(name: bytes) -> str:
    """The name as text; bytes that are none become surrogates, and bytes again in encode()."""
    return name.decode(_ENCODING, _ERRORS)
