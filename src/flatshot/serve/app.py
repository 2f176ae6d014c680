"""The page's server: a handful of addresses, for this machine and this page alone.

Other hosts and other pages are refused by the Host and Origin headers, so that neither a site that
the user happens to visit nor a name that somebody points at 127.0.0.1 can use the models or look at
the images.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from flatshot.errors import FlatshotError
from flatshot.serve.tryout import Tryout

MAX_BYTES = 20_000_000
# A question is some numbers.
MAX_QUESTION = 4096

_log = logging.getLogger("flatshot")
_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' blob: data:; media-src blob:; "
    "script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_ASSETS: Mapping[str, tuple[str, str]] = {
    "/": ("page.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}

Endpoint = Callable[[Request], Awaitable[Response]]


class _TooLargeError(Exception):
    """A request's body passes its bound."""


def make_app(tryout: Tryout, port: int) -> ASGIApp:
    """The application that answers on 127.0.0.1:`port`."""

    async def asset(request: Request) -> Response:
        name, kind = _ASSETS[request.url.path]
        text = files("flatshot.serve").joinpath("assets", name).read_text("utf-8")
        return Response(text, media_type=kind)

    async def about(request: Request) -> Response:
        return JSONResponse(tryout.about())

    async def look(request: Request) -> Response:
        data = await _body(request, MAX_BYTES)
        return JSONResponse(await to_thread.run_sync(tryout.look, data))

    async def find(request: Request) -> Response:
        question = await _question(request)
        image, changes = question.get("image"), question.get("settings")
        if not isinstance(image, int) or not isinstance(changes, dict):
            return _refusal(400, "a question has an image and settings")
        return JSONResponse(await to_thread.run_sync(partial(tryout.find, image, changes)))

    async def dataset_image(request: Request) -> Response:
        number = request.path_params["number"]
        name, data = await to_thread.run_sync(tryout.dataset_image, number)
        # Whatever the file is, no browser shall take it for a page.
        quoted = name.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "/")
        headers = {"content-disposition": f'inline; filename="{quoted}"'}
        return Response(data, media_type="application/octet-stream", headers=headers)

    routes = [
        *(Route(path, _told(asset)) for path in _ASSETS),
        Route("/about", _told(about)),
        Route("/look", _told(look), methods=["POST"]),
        Route("/find", _told(find), methods=["POST"]),
        Route("/dataset/{number:int}", _told(dataset_image)),
    ]
    return _Door(Starlette(routes=routes), port)


def _told(endpoint: Endpoint) -> Endpoint:
    """`endpoint`, with errors as JSON: what the user can mend as 400, what is a bug as 500."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except _TooLargeError:
            return _refusal(413, f"more than the {MAX_BYTES // 1_000_000} MB that are taken")
        except FlatshotError as error:
            return _refusal(400, " ".join(str(error).split()))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            _log.exception("the page asked %s", request.url.path)
            return _refusal(500, "Flatshot failed on this; the terminal says where")

    return answer


class _Door:
    """Lets in requests to this host, from this page or from no page; adds the page's policy."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        # Pages tell where they come from when they post; programs do not.
        self._origins = {None, *(f"http://{host}" for host in self._hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        request = Request(scope)
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "none")
        if request.headers.get("host") not in self._hosts:
            refusal = _refusal(421, "this address is not served here")
        elif site not in ("none", "same-origin") or origin not in self._origins:
            refusal = _refusal(403, "other pages may not use this one")
        else:
            await self._app(scope, receive, send_with_headers)
            return
        await refusal(scope, receive, send_with_headers)


async def _body(request: Request, most: int) -> bytes:
    """The request's body, read no further than `most` bytes."""
    told = request.headers.get("content-length", "0")
    if told.isdigit() and int(told) > most:
        raise _TooLargeError
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _TooLargeError
        parts.append(part)
    return b"".join(parts)


async def _question(request: Request) -> dict[str, Any]:
    import json

    try:
        question = json.loads(await _body(request, MAX_QUESTION))
    except (ValueError, RecursionError):
        return {}
    return question if isinstance(question, dict) else {}


def _refusal(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=status)
