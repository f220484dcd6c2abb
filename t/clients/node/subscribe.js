// Subscribes with a client from npm, and prints each event as one line of JSON.
// node subscribe.js CLIENT URL

const [client, url] = process.argv.slice(2)
const print = (data) => process.stdout.write(JSON.stringify(data) + '\n')

// These clients reconnect automatically, with their cursor.
function eventSource(EventSource) {
  const source = new EventSource(url)
  source.onmessage = (event) => print(JSON.parse(event.data))
  for (const type of ['cursor', 'gap']) {
    source.addEventListener(type, (event) => print({ [type]: JSON.parse(event.data) }))
  }
  source.onerror = (event) => {
    if (source.readyState === EventSource.CLOSED) print({ closed: event.code })
  }
}

const clients = {
  eventsource: () => eventSource(require('eventsource').EventSource),

  'eventsource-4': () => eventSource(require('eventsource-4').EventSource),

  'launchdarkly-eventsource': () => eventSource(require('launchdarkly-eventsource').EventSource),

  // Sends its cursor in the query, as it cannot set the header in all browsers.
  'event-source-polyfill': () => eventSource(require('event-source-polyfill').EventSourcePolyfill),

  'eventsource-client': () =>
    require('eventsource-client').createEventSource({
      url,
      onMessage: ({ event, data }) => print(event ? { [event]: JSON.parse(data) } : JSON.parse(data)),
    }),

  ws() {
    const WebSocket = require('ws')
    let cursor = ''
    const connect = () => {
      const socket = new WebSocket(url.replace('http', 'ws') + '?last_event_id=' + cursor)
      socket.on('message', (text) => {
        const message = JSON.parse(text)
        cursor = message.id
        if (message.data) print(message.data)
        else print({ [message.type ?? 'cursor']: message })
      })
      socket.on('error', () => {})
      socket.on('close', () => setTimeout(connect, 20))
    }
    connect()
  },
}

clients[client]()
