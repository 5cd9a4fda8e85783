"""The boundary of decoding: whatever a decoder raises on the bytes of a stranger becomes a `DecodeError`."""

from collections.abc import Iterator
from contextlib import contextmanager

from curate.errors import DecodeError


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Context manager: convert every exception of the decoders called in it to a DecodeError.

    The reason of an exception that no reader expects is "decoder failed: NAME", with the name of its type; of a
    MemoryError "memory does not hold the decoded photo". DecodeErrors pass. No other code belongs into the block.
    """
    try:
        yield
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError("memory does not hold the decoded photo") from error
    except Exception as error:
        raise DecodeError(f"decoder failed: {type(error).__name__}") from error
