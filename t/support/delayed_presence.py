"""What a `Delayed` engine knows about the clients of other processes."""

import asyncio

from tatsumaki_py.message_queue.engine import Presence

ANSWER = 1.0  # seconds that another process has to answer


class DelayedPresence(Presence):
    """The presence of one process, whose questions reach the store in order."""

    def __init__(self, engine):
        self.engine, self.store = engine, engine.store
        self.clients = None
        self.alive, self.paused = True, False
        self.asked, self.asker = [], None
        self.arriving, self.taken = {}, {}

    def connect(self, clients):
        self.clients = clients

    def begin(self):
        pass

    def ask(self, question, *args):
        try:
            answer = asyncio.get_running_loop().create_future()
        except RuntimeError:
            return None
        self.asked.append((question, args, answer))
        if self.asker is None or self.asker.done():
            self.asker = self.engine.start(self.work())
        return answer

    async def work(self):
        while self.asked:
            await self.engine.delay()
            question, args, answer = self.asked.pop(0)
            result = question(*args)
            if not answer.done():
                answer.set_result(result)

    # -- see `Presence`

    def arrive(self, channels, client_id, hook, seconds):
        answer = self.ask(self.enter, (channels, client_id), hook, seconds)
        self.arriving[channels, client_id] = answer
        return answer

    def enter(self, client, hook, seconds):
        before, *_ = self.store.present.get(client, (None,))
        self.store.present[client] = self, hook, seconds
        self.arriving.pop(client, None)
        self.taken.pop(client, None)
        if before is not None and before is not self and before.alive:
            self.taken[client] = self.engine.start(self.take(before, client))
        return before is None

    async def take(self, before, client):
        await self.engine.delay()
        while before.paused:
            await asyncio.sleep(0.01)
        return before.clients.take(*client)

    async def reached(self, *client):
        """The place that the client's poll in another process reached, or None."""
        if client in self.arriving:
            await self.arriving[client]
        if client in self.taken:
            task = self.taken[client]
            await asyncio.wait([task], timeout=ANSWER)
            if task.done():
                self.taken.pop(client, None)
                return task.result()
        return None

    def gone(self, channels, client_id):
        return self.ask(self.leave, (channels, client_id))

    def leave(self, client):
        process, *_ = self.store.present.get(client, (self,))
        if process is self:
            self.store.present.pop(client, None)
        return process is self

    def end(self):
        """End the process; the others forget each of its clients when it is no longer expected."""
        self.alive = False
        loop = asyncio.get_running_loop()
        for client, (process, _, seconds) in self.store.present.items():
            if process is self:
                for other in self.others():
                    loop.call_later(seconds, other.sweep, client)

    def sweep(self, *clients):
        """Forget those of `clients` (by default, of all clients) whose processes have ended."""
        for client in clients or list(self.store.present):
            process, hook, _ = self.store.present.get(client, (self, "", 0))
            if self.alive and not process.alive and self.clients.calls(hook):
                del self.store.present[client]
                self.clients.gone_elsewhere(*client, hook)

    def others(self):
        presences = [process.presence for process in list(self.store.processes)]
        return [one for one in presences if one not in (None, self) and one.alive]

    async def count(self, channels):
        await self.engine.delay()
        return sum(one.clients.count(channels) for one in self.others() if not one.paused)

    def send(self, message):
        self.ask(self.pass_on, message)

    def pass_on(self, message):
        for one in self.others():
            one.clients.receive(message)
