"""Events for a hidden iframe, each in its own script. See app.psgi."""

from random import random

from tatsumaki_py import Application, Handler, MessageQueue, Server


class FrameHandler(Handler):
    asynchronous = True

    def get_chunk(self, *chunks):
        if not isinstance(chunks[0], (dict, list)):
            return super().get_chunk(*chunks)
        json = self.json.encode(chunks[0]).replace("</", "<\\/")
        return f"<script>parent.on_event({json})</script>\n".encode()

    def get(self, channel):
        client_id = self.request.param("client_id") or str(random())
        self.response.header("X-Frame-Options", "SAMEORIGIN")
        self.stream_write("<!doctype html>", "\n")
        mq = MessageQueue.instance(channel)
        mq.poll(client_id, self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)
            if event.get("last"):
                self.finish("bye")


class PublishHandler(Handler):
    def post(self, channel):
        v = self.request.parameters
        mq = MessageQueue.instance(channel)
        mq.publish({"text": v.get("text"), "last": bool(v.get("last"))})
        self.write({"success": 1})


app = Application([(r"/frame/(\w+)", FrameHandler), (r"/publish/(\w+)", PublishHandler)])

if __name__ == "__main__":
    Server().run(app)
