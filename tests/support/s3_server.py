"""A server of the S3 API that is not ours (moto), for tests of the lake on an object store.

Makes the buckets named as arguments, prints its port and ends when its input is closed, which is when the test ends.
"""

import http.client
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Silent(WSGIRequestHandler):
    """Keeps connections open, as S3 does, and does not write a line for each request."""

    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


class OneAtATime:
    """Serves requests one after the other.

    moto looks whether a key is there and then writes it, on several threads: of two puts with `If-None-Match: *` both
    could succeed, which S3 never does. A request is read and answered whole under the lock.
    """

    def __init__(self, app):
        self.app = app
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            answer = self.app(environ, start_response)
            try:
                return [b"".join(answer)]
            finally:
                if hasattr(answer, "close"):
                    answer.close()


def main():
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for bucket in sys.argv[1:]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request("PUT", f"/{bucket}")
        status = connection.getresponse().status
        if status != 200:
            sys.exit(f"the bucket {bucket} was not made: status {status}")
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
