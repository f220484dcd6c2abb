"""`SubscribeHandler` and `PublishHandler`, with the engine that the environment names.

usage: push.py PORT [PROCESSES]
"""

import logging
import sys

from tatsumaki_py import Application, PublishHandler, Server, SubscribeHandler

app = Application([(r"/subscribe/(\w+)", SubscribeHandler), (r"/publish/(\w+)", PublishHandler)])

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    port, processes = map(int, (*sys.argv[1:], 1)[:2])
    Server("127.0.0.1", port, processes=processes).run(app)
