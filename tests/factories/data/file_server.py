"""An HTTP server on loopback that serves a folder with ranges and validators (aiohttp), and misbehaves on demand."""

import asyncio
import gzip
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from threading import Event

from aiohttp import web

Fault = Callable[["FileServer", web.Request, Callable[[web.Request], Awaitable]], Awaitable[web.StreamResponse]]


@contextmanager
def nobody() -> Iterator[str]:
    """The address of a port at which nothing listens, and nothing can while this lasts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class FileServer:
    """Serves `folder` at `url`. Each of `faults` spoils one request for a file that ends in its key, in turn.

    `asked` lists the requests as (path, Range, If-Range); `alter` may change the headers of every answer.
    """

    def __init__(self, folder: Path):
        self.folder, self.faults, self.asked, self.alter = folder, {}, [], lambda headers: None
        self.loop, self.stalls, started = asyncio.new_event_loop(), asyncio.Event(), Event()
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._serve(started)))
        self.thread.start()
        started.wait()

    async def _serve(self, started):
        app = web.Application(middlewares=[self._middleware])
        app.router.add_static("/", self.folder)
        app.on_response_prepare.append(self._alter_headers)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.ended = asyncio.Event()
        started.set()
        await self.ended.wait()
        self.stalls.set()
        await runner.cleanup()

    def close(self):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()
        self.loop.close()

    @web.middleware
    async def _middleware(self, request, handler):
        self.asked.append((request.path, request.headers.get("Range"), request.headers.get("If-Range")))
        for end, faults in self.faults.items():
            if request.path.endswith(end) and faults:
                return await faults.pop(0)(self, request, handler)
        return await handler(request)

    async def _alter_headers(self, _, response):
        self.alter(response.headers)


def _body_of(server, request):
    """Status, headers and body of a right answer, as the static handler gives it."""
    path = server.folder / request.path.lstrip("/")
    content, stat = path.read_bytes(), path.stat()
    start = request.http_range.start or 0
    headers = {
        "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
        "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        "Content-Length": str(len(content) - start),
    }
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return 206 if start else 200, headers, content[start:]


def _part_of_the_body(size: int, stall: bool, chunked: bool = False) -> Fault:
    async def fault(server, request, handler):
        status, headers, body = _body_of(server, request)
        if chunked:
            del headers["Content-Length"]
        response = web.StreamResponse(status=status, headers=headers)
        if chunked:
            response.force_close()
            request._version = (1, 0)  # no Content-Length, no chunks: the end of the connection is the end
        await response.prepare(request)
        await response.write(body[:size])
        if stall:
            await server.stalls.wait()
        await asyncio.sleep(0.02)  # what was written goes out
        if request.transport:
            request.transport.close()
        return response

    return fault


def cut(size: int) -> Fault:
    """The connection ends after that many bytes of the body."""
    return _part_of_the_body(size, stall=False)


def stall(size: int) -> Fault:
    """After that many bytes nothing comes any more."""
    return _part_of_the_body(size, stall=True)


def unframed(size: int) -> Fault:
    """The body has no length, and ends after that many bytes as if it were whole."""
    return _part_of_the_body(size, stall=False, chunked=True)


def short_range(size: int) -> Fault:
    """Of a range, only its first bytes, properly framed."""

    async def fault(server, request, handler):
        _, _, body = _body_of(server, request)
        start = request.http_range.start
        span = f"bytes {start}-{start + size - 1}/{start + len(body)}"
        return web.Response(status=206, body=body[:size], headers={"Content-Range": span})

    return fault


def status(code: int, **headers: str) -> Fault:
    async def fault(server, request, handler):
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return fault


async def hang_up(server, request, handler):
    """No answer at all."""
    request.transport.close()
    return web.Response()


async def ignore_range(server, request, handler):
    """A server that knows no ranges: 200 and all of it."""
    headers = request.headers.copy()
    headers.pop("Range", None)
    return await handler(request.clone(headers=headers))


async def wrong_range(server, request, handler):
    """Ten bytes before those that were asked for."""
    status, headers, _ = _body_of(server, request)
    content = (server.folder / request.path.lstrip("/")).read_bytes()
    start = request.http_range.start - 10
    headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", "ETag": headers["ETag"]}
    return web.Response(status=status, headers=headers, body=content[start:])


async def short_body(server, request, handler):
    """Fewer bytes than Content-Range says."""
    status, headers, body = _body_of(server, request)
    return web.Response(status=status, headers={"Content-Range": headers["Content-Range"]}, body=body[10:])


async def gzipped(server, request, handler):
    """Encoded although the client asked for identity, range or not; a part of it when asked for."""
    _, headers, _ = _body_of(server, request)
    encoded = gzip.compress((server.folder / request.path.lstrip("/")).read_bytes(), mtime=0)
    start = request.http_range.start or 0
    headers = {"ETag": headers["ETag"], "Content-Encoding": "gzip"}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(encoded) - 1}/{len(encoded)}"
    return web.Response(status=206 if start else 200, headers=headers, body=encoded[start:])


def gzipped_cut(size: int) -> Fault:
    """The same, and the connection ends after that many bytes."""

    async def fault(server, request, handler):
        body = gzip.compress((server.folder / request.path.lstrip("/")).read_bytes(), mtime=0)
        headers = {"Content-Encoding": "gzip", "Content-Length": str(len(body))}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(body[:size])
        await asyncio.sleep(0.02)
        if request.transport:
            request.transport.close()
        return response

    return fault


async def wrong_bytes(server, request, handler):
    """As many bytes as expected, but others."""
    _, _, body = _body_of(server, request)
    return web.Response(body=bytes(len(body)))


async def another_page(server, request, handler):
    """What a login page of a network answers to everything."""
    return web.Response(text="<html>please log in</html>", content_type="text/html")


def meet(count: int) -> list[Fault]:
    """Right answers that begin only when that many requests have come."""
    barrier = asyncio.Barrier(count)

    async def fault(server, request, handler):
        try:
            await asyncio.wait_for(barrier.wait(), 60)
        except (TimeoutError, asyncio.BrokenBarrierError) as error:
            raise web.HTTPForbidden from error
        return await handler(request)

    return [fault] * count


def redirect(to: str) -> Fault:
    async def fault(server, request, handler):
        raise web.HTTPFound(to)

    return fault
