"""Who may talk to the review's server: the browser that opened the address with the token, and no other page.

- The server listens on 127.0.0.1; a request must name that host, so that a name which is resolved to it (DNS
  rebinding) is refused.
- The address that is printed carries a token, which the first request exchanges for a cookie: HttpOnly and
  SameSite=Strict. Without token or cookie everything is refused.
- A request of another page (`Origin`, `Sec-Fetch-Site`) is refused; one that changes something must name its origin.
- The page may load nothing from elsewhere and run no inline script (Content-Security-Policy), so that names of photos
  are text whatever they contain.
"""

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every response."""

MAX_BODY = 1 << 20
"""Bytes of a request."""


class Guard:
    """ASGI middleware that refuses all other requests with 403, 413 or 421.

    Args:
        app: the application.
        port: on which the server listens.
        token: of the address that is printed.
    """

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self._app, self._token = app, token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}
        # Cookies are shared by all ports of a host, so the name carries the port.
        self._cookie = f"swapset_review_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no other protocol is served

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if headers.getlist("host") not in ([host] for host in self._hosts):
            return PlainTextResponse("another host", 421)
        origin = headers.get("origin")
        changes = scope["method"] not in ("GET", "HEAD")
        if (origin is not None or changes) and origin not in self._origins:
            return PlainTextResponse("a request of another page", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not self._is_entry(scope):
            return PlainTextResponse("a request of another page", 403)
        if changes and not _is_short(headers):
            return PlainTextResponse("a request without a length, or too long", 413)
        if self._is_entry(scope):
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
            if len(given) == 1 and self._matches(given[0]):
                # Without the token in the address, which is shown, kept and copied.
                response = RedirectResponse(scope["path"], 303)
                response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
                return response
        if not self._matches(_cookie(headers, self._cookie)):
            return PlainTextResponse("Open the address that `curate review` printed, with its token.", 403)
        return None

    def _is_entry(self, scope: Scope) -> bool:
        """Whether this is the request of the printed address, which may be a link in another program."""
        return bool(scope["method"] == "GET" and scope["path"] == "/" and b"token=" in scope["query_string"])

    def _matches(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())


def _cookie(headers: Headers, name: str) -> str:
    try:
        jar: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""


def _is_short(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= MAX_BODY
