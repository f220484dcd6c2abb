"""A server that the next one replaces.

usage: restarted.py PORT [plain] [--descriptor NUMBER]
"""

import argparse
import logging
import os

from tornado.httpserver import HTTPServer

from tatsumaki_py import Application, Handler, Server
from tatsumaki_py.server.http_server import StrictServer


class Hello(Handler):
    def post(self):
        self.write("Hello World")


app = Application([("/", Hello)])

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("close", nargs="?", choices=["plain"])
    parser.add_argument("--descriptor", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if arguments.close:
        # Closes the socket: connections in its backlog are lost.
        StrictServer.stop = HTTPServer.stop
    if arguments.descriptor is not None:
        # Passes the socket as systemd does.
        os.dup2(arguments.descriptor, 3)
        os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    Server("127.0.0.1", arguments.port, reuse_port=True).run(app)
