// The connection to the server, by long poll or by multipart stream.
// 1. There is one request at a time; who starts the next one has ended the last one.
// 2. The cursor moves when events have been handed on, never before: what was cut off comes again.
// 3. An id is handed on once; only the id of a gap may come again.

import { PartReader, boundaryOf } from "./multipart.js";

const POLL_TIMEOUT = 70_000; // the server answers after 55 s: later means the line is dead
const OPEN_TIMEOUT = 20_000;
const ASK_TIMEOUT = 10_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;
const STEADY = 5_000; // a connection that lived this long was a good one
const SLEPT = 30_000; // hidden longer than this: do not trust the connection
const SEEN = 1_000; // ids remembered

export class Feed {
  #base;
  #mxhr;
  #probe;
  #onEvents;
  #onState;
  // In memory only: two tabs with one id would take each other's answers.
  #clientId = "";
  #cursor = "";
  #seen = new Set();
  #state = "";
  #failures = 0;
  #request = null; // AbortController of the request under way
  #woken = false; // true while the connection may be dead without having said so
  #endWait = null;
  #hiddenSince = 0;

  /**
   * base: URL of the room; probe: URL of a small file on the same server;
   * onEvents(list): new events, oldest first;
   * onState(word, until, reason): "connecting", "live", "waiting" or "offline"; `until` in ms of Date.now().
   */
  constructor({ base, mxhr, probe, onEvents, onState }) {
    this.#base = base;
    this.#mxhr = mxhr;
    this.#probe = probe;
    this.#onEvents = onEvents;
    this.#onState = onState;
  }

  start() {
    addEventListener("online", () => this.#wake());
    addEventListener("offline", () => this.#wake()); // find out whether this server is still there
    addEventListener("pageshow", (event) => event.persisted && this.#wake());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#hiddenSince = Date.now();
      else if (this.#endWait || Date.now() - this.#hiddenSince > SLEPT) this.#wake();
    });
    this.#run();
  }

  async #run() {
    this.#setState("connecting");
    for (;;) {
      const opened = Date.now();
      const doubtful = this.#woken || this.#state !== "live";
      this.#woken = false;
      this.#request = new AbortController();
      let reason = "";
      try {
        await (this.#mxhr ? this.#stream() : this.#poll(doubtful));
        continue;
      } catch (error) {
        reason = error instanceof Refused ? error.message : "";
      } finally {
        this.#request.abort();
      }
      if (this.#woken) continue;
      if (Date.now() - opened > STEADY) this.#failures = 0;
      await this.#wait(reason);
    }
  }

  /** One delivery; throws when there was none and none could be had. */
  async #poll(doubtful) {
    const opened = Date.now();
    if (doubtful) this.#ask(this.#request);
    const response = await this.#open("poll", POLL_TIMEOUT);
    const events = await response.json();
    if (!Array.isArray(events)) throw new Refused("the answer is not a list");
    this.#setState("live");
    const news = this.#hand(events, response.headers.get("Last-Event-ID"));
    // An answer without news comes after 55 s. One that comes at once must not make a tight loop.
    if (!news && Date.now() - opened < FIRST_WAIT) throw new Refused("the server sent nothing new");
  }

  /** Reads until the stream breaks; always throws. */
  async #stream() {
    const response = await this.#open("mxhrpoll", OPEN_TIMEOUT);
    const parts = new PartReader(boundaryOf(response.headers.get("Content-Type")));
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    this.#setState("live");
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the stream ended");
      for (const { id, event } of parts.push(decoder.decode(value, { stream: true }))) {
        this.#hand([event], id);
      }
    }
  }

  async #open(what, timeout) {
    const request = this.#request;
    const timer = setTimeout(() => request.abort(), timeout);
    // Without a cursor the server goes by what it sent to this id, but that may have been lost on the way.
    // Nothing was shown yet, so a new id gets all there is, and nothing twice.
    if (!this.#cursor) this.#clientId = randomId();
    try {
      const query = new URLSearchParams({ client_id: this.#clientId, last_event_id: this.#cursor });
      const response = await fetch(`${this.#base}/${what}?${query}`, { signal: request.signal, cache: "no-store" });
      if (!response.ok) throw new Refused(await oneLine(response));
      return response;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A long poll says nothing while it waits, so ask for a small file to know whether the server is there. */
  async #ask(request) {
    const timer = setTimeout(() => request.abort(), ASK_TIMEOUT);
    try {
      await fetch(this.#probe, { method: "HEAD", signal: request.signal, cache: "no-store" });
      if (!request.signal.aborted) this.#setState("live");
    } catch {
      request.abort();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Hands events on and moves the cursor to `id`; gives whether there was anything new. */
  #hand(events, id) {
    if (id) {
      // A server that starts anew tells every gap under the same id.
      if (this.#seen.has(id) && !events.some((event) => event?.type === "gap")) return false;
      this.#seen.add(id);
      if (this.#seen.size > SEEN) this.#seen.delete(this.#seen.values().next().value);
    }
    if (events.length) {
      this.#failures = 0;
      try {
        this.#onEvents(events);
      } catch (error) {
        reportError(error); // a fault of the page is no fault of the connection
      }
    }
    if (id) this.#cursor = id;
    return events.length > 0;
  }

  async #wait(reason) {
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures++);
    const wait = longest * (0.5 + Math.random() / 2);
    this.#setState(navigator.onLine ? "waiting" : "offline", Date.now() + wait, reason);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endWait = null;
    this.#setState("connecting");
  }

  /** Tries now: ends a wait, or replaces a connection that may be dead without having said so. */
  #wake() {
    this.#failures = 0;
    this.#woken = true;
    this.#endWait?.();
    this.#request?.abort();
  }

  #setState(state, until = 0, reason = "") {
    if (state === this.#state && !until) return;
    this.#state = state;
    this.#onState(state, until, reason);
  }
}

/** The server answered, but not with what was asked for. */
class Refused extends Error {}

/** What a failed response says, on one line: `Error` text of the server, or the bare status. */
export async function oneLine(response) {
  const plain = response.headers.get("Content-Type")?.startsWith("text/plain");
  const text = plain ? (await response.text()).split("\n", 1)[0].slice(0, 200) : "";
  return text || `the server answered ${response.status}`;
}

export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
}
