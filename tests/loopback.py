"""A server on the loopback address, whose files fail in the ways that servers on the net do."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Remote:
    """One file of a server, its faults, and the Range header of every request for it."""

    def __init__(self, content):
        self.content, self.etag = content, '"v1"'
        self.ranges, self.sent = [], 0
        self.cuts = []  # bytes after which to drop the connection, one for each coming answer
        self.statuses = []  # answers to give before any file
        self.knows_ranges = self.tells_length = self.minds_if_range = True
        self.content_range = None  # said instead of the true one

    def answer(self, handler):
        """Answer one request for the file."""
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        changed = self.minds_if_range and handler.headers.get("If-Range") != self.etag
        start = int(asked[6:-1]) if asked and self.knows_ranges and not changed else 0
        self._send(handler, start, whole=not start)

    def _send(self, handler, start, whole):
        size = len(self.content)
        handler.send_response(200 if whole else 416 if start >= size else 206)
        if not whole:
            true_range = f"bytes {start}-{size - 1}/{size}"
            handler.send_header("Content-Range", self.content_range or true_range)
        if self.etag:
            handler.send_header("ETag", self.etag)
        body = self.content[start:]
        if self.tells_length:
            handler.send_header("Content-Length", len(body))
        handler.end_headers()
        body = body[: self.cuts.pop(0)] if self.cuts else body
        handler.wfile.write(body)
        self.sent += len(body)


class Site(dict):
    """The files of a server by name; any other name is 404."""

    def __init__(self):
        super().__init__()
        self.address, self.requests = None, 0

    def add(self, name, content):
        """Serve `content` as `name`; its address."""
        self[name] = Remote(content)
        return f"{self.address}/{name}"

    def answer(self, handler):
        """Answer one request."""
        self.requests += 1
        remote = self.get(handler.path.removeprefix("/").split("?")[0])
        if remote is None:
            handler.send_error(404)
        else:
            remote.answer(handler)


@contextmanager
def served(site):
    """Serve `site` on a port of its own while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        site.address = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()
        thread.join()
