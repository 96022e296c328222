"""A stand-in for S3: the paid cloud that Ray Serve LLM loads adapters from, and that cannot be had here."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "pyarrow-s3://anonymous@adapters"


@contextmanager
def bucket(adapters: dict[str, str]) -> Iterator[str]:
    """The address of a stand-in for S3, whose bucket has a folder for each adapter: what a download asks, read only."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = parse_qs(url.query)
            name, _, file = (asked["prefix"][0] if "prefix" in asked else self.key(url.path)).partition("/")
            path = Path(adapters.get(name, os.devnull)) / file
            if "list-type" in asked:
                files = sorted(path.iterdir()) if path.is_dir() else []
                listed = "".join(
                    f"<Contents><Key>{name}/{one.name}</Key><Size>{one.stat().st_size}</Size></Contents>"
                    for one in files
                )
                count = f"<KeyCount>{len(files)}</KeyCount><IsTruncated>false</IsTruncated>"
                self.answer(200, f"<ListBucketResult>{count}{listed}</ListBucketResult>".encode())
            elif not path.is_file():
                self.answer(404, b"")
            elif "Range" in self.headers:
                whole = path.read_bytes()
                first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
                part = whole[first : last + 1]
                self.answer(206, part, f"bytes {first}-{first + len(part) - 1}/{len(whole)}")
            else:
                self.answer(200, path.read_bytes())

        def do_HEAD(self) -> None:
            self.do_GET()

        @staticmethod
        def key(path: str) -> str:
            return unquote(path).removeprefix("/adapters/")

        def answer(self, status: int, body: bytes, part: str | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if part:
                self.send_header("Content-Range", part)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
