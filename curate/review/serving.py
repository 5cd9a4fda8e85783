"""Serve a page on this machine until the process is interrupted."""

import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import ExtraError
from curate.listener import SILENT, Listener
from manifests.errors import OutputError
from manifests.output import writable

if TYPE_CHECKING:
    import uvicorn

    from curate.review.page_app import PageApp

HOST = "127.0.0.1"

_BACKLOG = 128
"""Connections that wait to be accepted."""

ADDRESS = "address"
"""File in the folder of a review that is open: the address of its page, readable by its user alone."""


def require_server() -> None:
    """Raise ExtraError unless the packages of the server are installed."""
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise ExtraError(
            f"the review page needs {error.name}, which is not installed: pip install 'swapset[review]'"
        ) from error
    del starlette, uvicorn


def serve(app: "PageApp", port: int, folder: Path, listener: Listener = SILENT) -> None:
    """Serve the page on HOST until the process is interrupted. folder: of the review, where its address is kept."""
    import uvicorn

    with listening(port) as socket_:
        port = socket_.getsockname()[1]
        token = secrets.token_urlsafe(24)
        config = uvicorn.Config(
            app.guarded(port, token),
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = _server(config)
        address = f"http://{HOST}:{port}/?token={token}"
        with _kept(folder / ADDRESS, address):
            listener.note(f"open {address} in a browser; Ctrl-C ends")
            server.run(sockets=[socket_])


def address_of(folder: Path) -> str:
    """Return the address of the page that is open; empty where there is none, or it belongs to another user."""
    try:
        return (folder / ADDRESS).read_text()
    except OSError:
        return ""


def forget_address(folder: Path) -> None:
    """Remove the address of a review that was killed."""
    with writable(folder):
        (folder / ADDRESS).unlink(missing_ok=True)


@contextmanager
def _kept(path: Path, address: str) -> Iterator[None]:
    """Context manager: a file that names the address while the page is served."""
    with writable(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(address)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Context manager: a socket that listens on HOST. Raises OutputError where the port is taken."""
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY), not 40 ms later.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as socket_:
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            socket_.bind((HOST, port))
            socket_.listen(_BACKLOG)  # a browser that is quicker than the server waits
        except OSError as error:
            raise OutputError(f"port {port} cannot be used ({error.strerror}): choose another --port") from error
        yield socket_


def _server(config: "uvicorn.Config") -> "uvicorn.Server":
    """A server that ends at a signal; interrupting a review is its regular end, so the signal is not raised again."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    return Server(config)
