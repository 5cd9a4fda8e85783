"""An object store on the loopback: moto's S3, in front of which requests fail on purpose."""

import os
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@dataclass
class FaultyServer:
    """A WSGI application that answers some requests with a fault.

    fault: the kind of fault of a request by its method and path: an HTTP status, "short" for an answer that ends early,
    or None for the true answer.
    """

    app: Callable[[Environ, StartResponse], Iterable[bytes]]
    fault: Callable[[str, str], int | str | None] = lambda method, path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    faults: int = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        fault = self.fault(method, path)
        self.faults += fault is not None
        if isinstance(fault, int):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            code = {503: "SlowDown", 403: "AccessDenied"}.get(fault, "InternalError")
            body = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
            start_response(f"{fault} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        answer = b"".join(self.app(environ, start_response))
        return [answer[: len(answer) // 2]] if fault == "short" else [answer]


@contextmanager
def object_store(bucket: str = "bucket") -> Iterator[FaultyServer]:
    """Context manager: an empty S3 on the loopback, to which the environment leads, with one bucket."""
    from moto.core.models import override_responses_real_send  # noqa: F401  (moto must be whole before it is served)
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = FaultyServer(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    before = dict(os.environ)
    url = f"http://127.0.0.1:{server.server_port}"
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=url)
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
        urllib.request.urlopen(urllib.request.Request(f"{url}/{bucket}", method="PUT")).close()
        app.requests.clear()
        yield app
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.shutdown()
        thread.join()
