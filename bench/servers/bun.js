// Bun: WebSockets on a topic, and EventSource by direct streams. Events come by POST, or the process itself
// publishes them: a datagram to the same port asks for them (loadgen.c, inside=1).

const port = Number(process.argv[2]);
const streams = new Map(); // by channel; without WebSockets, which Bun's topics find

function subscribe(request, server) {
  const { channel } = request.params;
  if (request.headers.has("upgrade")) {
    server.upgrade(request, { data: channel });
    return;
  }
  const stream = new ReadableStream({
    type: "direct",
    pull(controller) {
      const members = streams.get(channel) ?? new Set();
      streams.set(channel, members.add(controller));
      controller.write(":\n\n"); // the headers go out with the first bytes
      controller.flush();
      return new Promise((resolve) => {
        request.signal.addEventListener("abort", () => {
          members.delete(controller);
          resolve();
        });
      });
    },
  });
  return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
}

function publish(channel, event) {
  server.publish(channel, event);
  const frame = `data: ${event}\n\n`;
  // Bun flushes at the end of the turn. With one event, this is as fast as a flush here; with several, it is faster.
  for (const stream of streams.get(channel) ?? []) stream.write(frame);
}

function publishInside(_socket, message) {
  const { first, count, channels, event } = JSON.parse(message.toString());
  for (let number = first; number < first + count; number++) {
    const html = event.html.replace("~00000000", `~${String(number).padStart(8, "0")}`);
    publish(channels ? `room${number % channels}` : "room", JSON.stringify({ ...event, html }));
  }
}

const server = Bun.serve({
  port,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  routes: {
    "/stream/:channel": subscribe,
    "/publish": {
      async POST(request) {
        publish("room", await request.text());
        return new Response("ok");
      },
    },
    "/plain": () => new Response("ok"),
  },
  fetch: () => new Response("not found", { status: 404 }),
  websocket: {
    idleTimeout: 0,
    open(socket) {
      socket.subscribe(socket.data);
    },
    message() {},
  },
});
await Bun.udpSocket({ port, hostname: "127.0.0.1", socket: { data: publishInside } });
