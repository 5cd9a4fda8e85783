"""The boundary of decoding: whatever a decoder raises on the bytes of a stranger becomes a `DecodeError`."""

from collections.abc import Iterator
from contextlib import contextmanager

from curate.errors import DecodeError


@contextmanager
def decoder_errors(name: str = "decoder", passing: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Context manager: convert every exception of the decoders called in it to a DecodeError.

    The reason of an exception that no reader expects is "decoder failed: NAME", with the name of its type; of a
    MemoryError "memory does not hold the decoded photo". DecodeErrors and `passing` pass. No other code belongs into
    the block. `name`: of the codec, in the reason.
    """
    try:
        yield
    except DecodeError:
        raise
    except passing:
        raise
    except MemoryError as error:
        raise DecodeError("memory does not hold the decoded photo") from error
    except Exception as error:
        raise DecodeError(f"{name} failed: {type(error).__name__}") from error
