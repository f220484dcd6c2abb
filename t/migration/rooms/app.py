"""Rooms with numbers, and a template. See app.psgi."""

import os

from tatsumaki_py import Application, Error, Handler, MessageQueue, Server


class RoomHandler(Handler):
    def get(self, room):
        mq = MessageQueue.instance(int(room))
        if not mq.backlog_events:
            mq.append_backlog({"text": f"Welcome to room {room}"})
        self.render("room.html", {"title": f"Room <{room}>", "events": mq.backlog_events})
        self.finish()


class PollHandler(Handler):
    asynchronous = True

    def get(self, room, user):
        mq = MessageQueue.instance(int(room))
        mq.poll_once(int(user), lambda *events: self.finish(list(events)), 2)


class SayHandler(Handler):
    def post(self, room):
        text = self.request.param("text") or Error.HTTP.throw(400, "nothing said")
        MessageQueue.instance(int(room)).publish({"text": text})
        self.response.redirect(f"/room/{room}")


app = Application(
    [
        (r"/room/(\d+)/poll/(\d+)", PollHandler),
        (r"/room/(\d+)/say", SayHandler),
        (r"/room/(\d+)", RoomHandler),
    ]
)

app.template_path = os.path.dirname(os.path.abspath(__file__)) + "/templates"

if __name__ == "__main__":
    Server().run(app)
