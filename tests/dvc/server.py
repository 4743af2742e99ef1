"""A store for DVC over HTTP: GET, HEAD and POST of files in FOLDER, for who knows USER:PASSWORD.

    server.py FOLDER USER:PASSWORD      prints its port, and serves until its standard input ends

SPDX-License-Identifier: MIT
"""

import base64
import http.server
import pathlib
import sys
import threading

folder, credentials = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
expected = "Basic " + base64.b64encode(credentials.encode()).decode()


class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="store"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def serve(self):
        body = self.body()
        if self.headers.get("Authorization") != expected:
            return self.answer(401)
        path = (folder / self.path.lstrip("/")).resolve()
        if folder not in path.parents:
            return self.answer(403)
        if self.command == "POST":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            return self.answer(200)
        return self.answer(200, path.read_bytes()) if path.is_file() else self.answer(404)

    do_GET = do_HEAD = do_POST = serve

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
