// Subscribes with a client from npm and prints each event that comes, as one line of JSON.
// node subscribe.js (eventsource|ws) URL

const [client, url] = process.argv.slice(2)
const print = (data) => process.stdout.write(JSON.stringify(data) + '\n')

const clients = {
  // It comes back by itself, with its cursor.
  eventsource() {
    const { EventSource } = require('eventsource')
    const source = new EventSource(url)
    source.onmessage = (event) => print(JSON.parse(event.data))
    source.addEventListener('gap', (event) => print({ gap: JSON.parse(event.data) }))
    source.onerror = (event) => {
      if (source.readyState === EventSource.CLOSED) print({ closed: event.code })
    }
  },

  ws() {
    const WebSocket = require('ws')
    let cursor = ''
    const connect = () => {
      const socket = new WebSocket(url.replace('http', 'ws') + '?last_event_id=' + cursor)
      socket.on('message', (text) => {
        const message = JSON.parse(text)
        cursor = message.id
        if (message.data) print(message.data)
        if (message.type === 'gap') print({ gap: message })
      })
      socket.on('error', () => {})
      socket.on('close', () => setTimeout(connect, 20))
    }
    connect()
  },
}

clients[client]()
