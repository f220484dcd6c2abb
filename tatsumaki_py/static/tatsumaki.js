// Subscribes a page to a Tatsumaki server, over a transport that gets through.
//
//   import { Subscription } from "/tatsumaki.js";
//   new Subscription("/events/lobby", { onEvent: (data) => console.log(data) });
//
// 1. There is one connection at a time: the previous one is ended before another is started.
// 2. The cursor moves after events have been passed on, never before, so that an interrupted delivery is repeated.
// 3. Events of one id are passed on once. Only a gap may be repeated with the same id.
// 4. Cursors are only compared for equality, except that a comma marks the cursor of several channels.
// 5. Of the tabs that share, the one with the lock (the leader) has the connection. Each of its messages contains the
//    cursor before the events of the message. A tab at another cursor asks the server for the events in between.
// 6. Tabs with different versions of these messages do not share: increase PROTOCOL when you change `Message`.
// 7. A page with a `getState` is connected only while its state is complete. `getState` returns the cursor to connect
//    from, so no event after the state is missed. There is one call at a time.
// 8. Events may follow an end. An end counts only if the connection ends with it, or if the server refuses to connect a
//    page that has all events (204, or a WebSocket that is closed with 1000 "end").

/** @typedef {"connecting" | "open" | "waiting" | "closed" | "ended"} State */
/** @typedef {"sse" | "websocket" | "ndjson" | "multipart" | "long-poll" | "interval-poll"} Transport */
/** @typedef {{type: "gap", after: string, id: string, channel?: string}} Gap */
/** @typedef {{data: any, channel?: string, gap?: boolean, end?: boolean}} Item */
/** @typedef {{message: string, status: number}} Refusal `status` is the HTTP status, or 0 without an answer. */
/** @typedef {{transport: Transport, error: Refusal | null, until: number}} Details */
/** @typedef {{state: State, details: Details, cursor: string}} Place */
/** @typedef {{prev: string, id: string, items: Item[]}} News */
/** @typedef {{news?: News, place?: Place, prefer?: Transport, wake?: boolean}} Message from tab to tab */
/**
 * @typedef {object} Options
 * @property {(data: any, at: {id: string, channel?: string}) => void} [onEvent] called with each event: `data` is
 *   the published JSON value; `id` is the cursor after it, or "" if more events of the same answer follow; `channel`
 *   is its channel, if there are several.
 * @property {(gap: Gap) => void} [onGap] called when events between `after` and `id` are lost.
 * @property {() => void} [onEnd] called once, when the channel has ended and all its events were passed on. After that,
 *   the page does not reconnect. With several channels, it is called when all of them have ended, and `onEvent` gets
 *   the end of each, `{type: "end"}`.
 * @property {(info: {signal: AbortSignal}) => Promise<{lastEventId: string}> | {lastEventId: string}} [getState] loads
 *   and shows the state of the page, and returns an object (which may have other members) with the cursor at which the
 *   server made the state. It is called before the first connection (unless there is a `lastEventId`) and after each
 *   gap, one call at a time. When it is done, the events after the cursor follow. If it fails, it is called again
 *   after 1 second, backing off to 15 seconds. `signal` is aborted when the subscription is closed, and after 30
 *   seconds.
 * @property {(state: State, details: Details) => void} [onState] called when the state or its details change.
 *   `transport` is the transport in use, `error` the reason for "waiting" or "closed", `until` the time of the next
 *   attempt in ms, as in `Date.now()`. "ended" is reported before `onEnd` is called.
 * @property {Transport[]} [transports] tried in this order. The first that gets through is kept.
 *   Default: sse (or ndjson if there are `headers`), then long-poll.
 * @property {string} [lastEventId] the cursor to start from. Default: start with the backlog, like a new client.
 * @property {string} [clientId] the name of the client. A new connection with the same name ends the older one.
 *   Default: a random name.
 * @property {string[]} [channels] the channels, for a URL that names none.
 * @property {boolean} [shared] whether tabs with the same subscription share one connection. Default: true. Browsers
 *   allow sharing only on https: and localhost.
 * @property {Headers | Record<string, string> | [string, string][]} [headers] headers of each request; not possible
 *   with sse and websocket.
 * @property {boolean} [withCredentials] whether to send cookies to another origin.
 * @property {() => string | Promise<string>} [ticket] returns a ticket for the URL. It is called before each attempt to
 *   connect, so tickets may be short-lived.
 */

const PROTOCOL = 2; // version of the messages between tabs
const OPEN = 10_000; // ms within which a connection must open, or a query be answered
const DOUBT = 5_000; // silence after which a new stream is checked: something may hold it back
const SILENCE = 62_500; // the same for a stream that has worked: two and a half heartbeats
const GRACE = 1_000; // ms within which the events that a check has found must arrive on the stream
const STEADY = 5_000; // a connection, or a state, that lasted this long counts as good
const LOAD = 30_000; // ms for one call of `getState`
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;
const LONGEST_ASKED = 60_000; // longest delay that is accepted from the server
const SETTLED = 100; // an EventSource that has been open for this long has reached the server
const INTERVAL = 5_000; // between two interval polls
const FRESH = 1_000; // a ticket is reused for this long
const SLEPT = 30_000; // after being hidden longer than this, a page does not trust its connection
const SEEN = 1_000; // number of remembered ids
const BEHIND = 250; // between two queries of a tab that catches up with the leader

/** The server, or a proxy in front of it, has refused the request or given an unexpected answer. */
class Refused extends Error {
  /** @param {string} message @param {number} [status] @param {number} [after] ms, from Retry-After */
  constructor(message, status = 0, after = 0) {
    super(message);
    this.status = status;
    this.after = after;
  }

  /** Whether a retry would get the same answer. */
  get final() {
    const { status } = this;
    return status >= 400 && status < 500 && ![408, 425, 429].includes(status);
  }

  /** Whether the channel has ended and the page has all of its events. */
  get ended() {
    return this.status === 204;
  }

  /** @returns {Refusal} */
  get plain() {
    return { message: this.message, status: this.status };
  }
}

/** The server can be reached, but not by this transport. */
class Blocked extends Refused {}

export class Subscription {
  /** @type {Options} */ #options;
  /** @type {Source} */ #source;
  /** @type {Line} */ #line;
  /** @type {Tabs | null} */ #tabs = null;
  /** @type {Set<string>} */ #seen = new Set();
  /** @type {State} */ #state = "connecting";
  /** @type {Details} */ #details;
  #cursor;
  #hiddenSince = 0;
  #started = false;
  #stale; // whether the page needs `getState` before it connects: it has no state, or there was a gap
  #loading = false;
  #loaded = -Infinity; // the time of the last state
  #loads = 0; // number of calls of `getState` shortly after one another
  /** @type {AbortController | null} of the wait between two calls of `getState` */ #nap = null;
  #over = new AbortController();

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    checkOptions(options);
    this.#options = { ...options };
    this.#cursor = options.lastEventId ?? "";
    this.#stale = Boolean(options.getState && !this.#cursor);
    const source = (this.#source = new Source(url, options));
    const first = source.headers ? "ndjson" : "sse";
    const names = [...(options.transports ?? /** @type {Transport[]} */ ([first, "long-poll"]))];
    for (const name of names) this.#check(name);
    this.#details = { transport: names[0], error: null, until: 0 };
    const place = () => this.#cursor;
    this.#line = new Line(source, names, place, this.#news, this.#tell);
    if ((options.shared ?? true) && globalThis.navigator?.locks && globalThis.BroadcastChannel) {
      this.#tabs = new Tabs(source, this.#line, () => this.#place(), this.#follow, this.#show);
    }
    const signal = this.#over.signal;
    for (const type of ["online", "offline"]) {
      globalThis.addEventListener(type, () => this.#wake(true), { signal });
    }
    // A page in the back/forward cache must not keep the lock: other tabs wait for it to connect.
    globalThis.addEventListener("pagehide", () => this.#stop(), { signal });
    globalThis.addEventListener("pageshow", (event) => event.persisted && this.#start(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => this.#turned(), { signal });
    this.#start();
  }

  /** The state of the connection: "connecting", "open", "waiting" (to retry), "closed" (for good) or "ended" (for good,
   * because the channel has ended). */
  get state() {
    return this.#state;
  }

  /** The cursor after the last event that was passed on. */
  get lastEventId() {
    return this.#cursor;
  }

  /** The transport in use. Set it to switch to another one, in all tabs that share. No event is lost or repeated. If
   * the new transport does not get through, those of the option `transports` are tried. */
  get transport() {
    return this.#details.transport;
  }

  set transport(name) {
    this.#check(name);
    if (this.#over.signal.aborted) return;
    this.#tabs?.post({ prefer: name });
    this.#line.prefer(name);
  }

  /** If the subscription is waiting, retries now; for a button "Try now". */
  retry() {
    this.#wake(false);
  }

  /** Ends the subscription for good. */
  close() {
    this.#stop();
    this.#show("closed", { ...this.#details, error: null, until: 0 });
  }

  /** @param {string} name */
  #check(name) {
    if (!isString(name) || !Object.hasOwn(TRANSPORTS, name)) throw new TypeError(`no such transport: ${name}`);
    if (bare(name) && this.#source.headers) throw new TypeError(`${name} cannot send headers`);
  }

  #start() {
    if (this.#over.signal.aborted) return;
    this.#started = true;
    if (this.#stale) this.#load();
    else if (this.#tabs) this.#tabs.join();
    else this.#line.start();
  }

  #stop() {
    this.#started = false;
    this.#tabs?.leave();
    this.#line.stop();
  }

  /** @param {boolean} doubtful whether the connection may have died unnoticed */
  #wake(doubtful) {
    this.#nap?.abort();
    this.#tabs?.wake(doubtful);
    this.#line.wake(doubtful);
  }

  #turned() {
    if (document.hidden) this.#hiddenSince = Date.now();
    else this.#wake(Date.now() - this.#hiddenSince > SLEPT);
  }

  /** Has the page load its state, then connects. */
  async #load() {
    if (this.#loading) return;
    this.#loading = true;
    await null; // call no callback before the constructor has returned
    if (Date.now() - this.#loaded > STEADY) this.#loads = 0;
    // A gap so soon after a state: the state may come from a cache, and be older than the retained events.
    let error = this.#loads ? new Refused("there is a gap after the state") : null;
    for (; this.#stale && this.#started; this.#loads++) {
      if (error) {
        const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#loads) / 2;
        const time = wait + Math.random() * wait;
        this.#show("waiting", { ...this.#details, error: error.plain, until: Date.now() + time });
        this.#nap = new AbortController();
        await pause(time, this.#nap.signal).catch(() => {});
        if (!this.#started) break;
      }
      this.#show("connecting", { ...this.#details, error: null, until: 0 });
      try {
        this.#cursor = await this.#ask();
        this.#seen.clear(); // the state may be older than events that were passed on: they will be repeated
        this.#stale = false;
        this.#loaded = Date.now();
      } catch (reason) {
        error = new Refused(`getState failed: ${reason}`);
      }
    }
    this.#nap = null;
    this.#loading = false;
    if (this.#started) this.#start();
  }

  /** The cursor of the state that the page has loaded. */
  async #ask() {
    const signal = AbortSignal.any([this.#over.signal, AbortSignal.timeout(LOAD)]);
    const { lastEventId } = (await this.#options.getState?.({ signal })) ?? {};
    if (isString(lastEventId) && lastEventId) return lastEventId;
    throw new TypeError("getState must return an object with lastEventId, a string that is not empty");
  }

  /** @returns {Place} */
  #place() {
    return { state: this.#state, details: this.#details, cursor: this.#cursor };
  }

  /** Events from this tab's own connection. */
  #news = (/** @type {Item[]} */ items, /** @type {string} */ id) => {
    const prev = this.#cursor;
    const fresh = this.#hand(items, id);
    if (fresh.length || this.#cursor !== prev) this.#tabs?.post({ news: { prev, id, items: fresh } });
    this.#mend();
    return fresh.length;
  };

  /** Events from the leader's connection, or from the server to catch up with the leader. */
  #follow = (/** @type {Item[]} */ items, /** @type {string} */ id) => {
    this.#hand(items, id);
    this.#mend();
  };

  /** After a gap, reconnects, which loads the state first. */
  #mend() {
    if (!this.#stale) return;
    this.#stop();
    this.#start();
  }

  #tell = (/** @type {State} */ state, /** @type {Details} */ details) => {
    this.#show(state, details);
    this.#tabs?.post({ place: this.#place() });
    if (isOver(state)) this.#tabs?.leave();
  };

  /** Passes new events on, moves the cursor after them, and returns them. */
  #hand = (/** @type {Item[]} */ items, /** @type {string} */ id) => {
    const known = this.#seen.has(id);
    const fresh = known ? items.filter((item) => item.gap) : items;
    for (const item of fresh) {
      if (this.#over.signal.aborted) return []; // the page has closed the subscription: drop the rest
      const { data, channel, gap, end } = item;
      if (gap) this.#call(() => this.#options.onGap?.(data));
      else if (!end || channel) {
        this.#call(() => this.#options.onEvent?.(data, { id: item === fresh.at(-1) ? id : "", channel }));
      }
      if (gap && this.#options.getState) {
        this.#stale = true;
        return fresh; // for the other tabs, which may have no `getState`
      }
    }
    if (id && (fresh.length || !known)) this.#cursor = id;
    if (id && fresh.some((item) => !item.gap)) this.#seen.add(id);
    if (this.#seen.size > SEEN) this.#seen.delete(/** @type {string} */ (this.#seen.values().next().value));
    return fresh;
  };

  #show = (/** @type {State} */ state, /** @type {Details} */ details) => {
    if (this.#over.signal.aborted) return;
    if (isOver(state)) this.#over.abort();
    this.#state = state;
    this.#details = details;
    this.#call(() => this.#options.onState?.(state, details));
    if (state === "ended") this.#call(() => this.#options.onEnd?.());
  };

  /** Calls code of the page, whose errors must not affect the connection. @param {() => void} callback */
  #call(callback) {
    try {
      callback();
    } catch (error) {
      reportError(error);
    }
  }
}

/** The server's URL, and requests to it. */
class Source {
  /** @param {string | URL} url @param {Options} options */
  constructor(url, options) {
    this.base = parseUrl(url);
    for (const channel of options.channels ?? []) this.base.searchParams.append("channel", channel);
    this.named = Boolean(options.clientId);
    this.clientId = options.clientId ?? "";
    this.giver = options.ticket;
    this.ticket = "";
    this.given = 0; // the time of the last ticket
    /** @type {[string, string][]} */
    const headers = []; // sorted, names in lower case
    new Headers(options.headers).forEach((value, name) => headers.push([name, value]));
    this.headers = headers.length ? headers : undefined;
    this.withCredentials = options.withCredentials ?? false;
    // Tabs share a connection only if they agree on everything by which the server may tell users apart.
    const who = [this.base, this.withCredentials, headers, this.clientId];
    this.key = `tatsumaki/${PROTOCOL} ${JSON.stringify(who)}`;
  }

  /** Picks a new client id, unless the page gave one, because a client without a cursor must get the backlog even if
   * the server has already sent it to the old id. */
  rename() {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    if (!this.named) this.clientId = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** Gets a ticket, if the page has a `ticket` function. */
  async renew() {
    if (!this.giver || Date.now() - this.given < FRESH) return;
    try {
      this.ticket = await this.giver();
    } catch (error) {
      throw new Refused(`no ticket: ${error}`);
    }
    if (!isString(this.ticket)) throw new Refused("a ticket must be a string");
    this.given = Date.now();
  }

  /** @param {Transport} transport @param {string} cursor @param {string} [clientId] */
  url(transport, cursor, clientId) {
    const url = new URL(this.base);
    url.searchParams.set("transport", transport);
    url.searchParams.set("last_event_id", cursor);
    if (bare(transport)) url.searchParams.set("heartbeat", "1"); // heartbeats that a page can see
    if (clientId) url.searchParams.set("client_id", clientId);
    if (this.ticket) url.searchParams.set("ticket", this.ticket);
    if (transport === "websocket") url.protocol = url.protocol.replace("http", "ws");
    return url.href;
  }

  /** @param {string} url @param {AbortSignal} signal */
  async get(url, signal) {
    const credentials = this.withCredentials ? "include" : "same-origin";
    const response = await fetch(url, { headers: this.headers, credentials, cache: "no-store", signal });
    if (response.status === 204) throw new Refused("the server has nothing more for this page", 204);
    if (response.ok) return response;
    const plain = response.headers.get("Content-Type")?.startsWith("text/plain");
    const line = plain ? (await response.text()).split("\n", 1)[0].slice(0, 200) : "";
    const message = line || `the server answered ${response.status}`;
    throw new Refused(message, response.status, delay(response.headers.get("Retry-After")));
  }

  /** The reason why there is no answer, in words. @param {unknown} error */
  explain(error) {
    if (error instanceof Refused) return error;
    if (error instanceof DOMException && error.name === "TimeoutError") return new Refused("the server does not answer");
    // A browser does not tell whether the server cannot be reached or does not allow the origin.
    const forbidden = this.base.origin === location.origin ? "" : ", or does not allow this page's origin";
    return new Refused(`the server cannot be reached${forbidden}`);
  }

  /** Fetches the events after the cursor, without waiting. @param {string} cursor @param {AbortSignal} signal */
  async ask(cursor, signal) {
    await this.renew();
    // Send no client id, because a second request with the same id would end the connection.
    const response = await this.get(
      this.url("interval-poll", cursor),
      AbortSignal.any([signal, AbortSignal.timeout(OPEN)]),
    );
    return list(response);
  }
}

/** The connection of this tab: repeated attempts until it is stopped. */
class Line {
  /** @type {AbortController | null} of the current attempt, including its wait */ #attempt = null;
  /** @type {Set<Transport>} */ #proved = new Set(); // transports that have delivered something
  #names;
  #at = 0;
  /** @type {object | null} */ #run = null;
  #failures = 0;
  #misses = 0; // times that the transport failed although the server could be reached
  /** @type {State} */ #state = "connecting";

  /**
   * @param {Source} source @param {Transport[]} names @param {() => string} cursor
   * @param {(items: Item[], id: string) => number} news @param {(state: State, details: Details) => void} tell
   */
  constructor(source, names, cursor, news, tell) {
    this.source = source;
    this.cursor = cursor;
    this.news = news;
    this.tell = tell;
    this.#names = names;
  }

  start() {
    if (!this.#run) this.#connect((this.#run = {}));
  }

  stop() {
    this.#run = null;
    this.#attempt?.abort();
  }

  /** @param {Transport} name */
  prefer(name) {
    this.#names = [name, ...this.#names.filter((other) => other !== name)];
    this.#at = this.#misses = 0;
    this.wake(true);
  }

  /** Retries now. @param {boolean} doubtful whether to replace even a connection that seems to be good */
  wake(doubtful) {
    this.#failures = 0;
    if (doubtful || this.#state === "waiting") this.#attempt?.abort();
  }

  /** @param {object} run identifies this run, because another may begin before this one notices that it is over */
  async #connect(run) {
    await null; // call no callback before the constructor has returned
    this.#failures = this.#misses = 0;
    while (this.#run === run) {
      const attempt = (this.#attempt = new AbortController());
      const name = this.#names[this.#at];
      this.#say("connecting", name);
      if (!this.cursor() || !this.source.clientId) this.source.rename();
      const link = new Link(this, name, attempt);
      /** @type {unknown} */
      let error = null;
      try {
        await this.source.renew();
        link.signal.throwIfAborted();
        await TRANSPORTS[name](link);
      } catch (reason) {
        error = reason;
      }
      const disturbed = attempt.signal.aborted && !link.failed; // by `stop` or `wake`
      link.end();
      if (link.proved) this.#proved.add(name);
      if (link.good) this.#failures = this.#misses = 0;
      if (disturbed) continue;
      try {
        await this.#recover(name, link, error, (this.#attempt = new AbortController()).signal);
      } catch {
        // `stop` or `wake` has ended the wait
      }
    }
  }

  /** Finds out why the attempt ended, and waits before the next one.
   * @param {Transport} name @param {Link} link @param {unknown} reason @param {AbortSignal} signal */
  async #recover(name, link, reason, signal) {
    // Do not reuse the ticket of a connection that was open: it may have been revoked.
    if (link.opened) this.source.given = 0;
    let error = reason instanceof Refused ? reason : null;
    if (link.ended || error?.ended) return this.#finish("ended", name);
    let blocked = error instanceof Blocked;
    if (!link.opened && (!error || blocked)) {
      // Neither EventSource nor WebSocket tells why it failed, so ask the server by another request.
      try {
        await this.source.ask(this.cursor(), signal);
        blocked = true;
      } catch (refusal) {
        signal.throwIfAborted();
        blocked = false;
        error = this.source.explain(refusal);
      }
    }
    if (error?.ended) return this.#finish("ended", name);
    // The ticket of a connection that was open may have expired: get a new one for the next attempt.
    const renewed = link.opened && error?.status === 403 && this.source.giver;
    if (error?.final && !renewed) return this.#finish("closed", name, error);
    // A transport that has worked before gets more than one chance.
    if (blocked && ++this.#misses > (this.#proved.has(name) ? 2 : 0) && this.#names.length > 1) {
      this.#misses = 0;
      this.#at = (this.#at + 1) % this.#names.length;
      if (this.#at) return;
    }
    const asked = Math.min(LONGEST_ASKED, link.retry || (error?.after ?? 0));
    const ended = link.good && !reason && !asked;
    if (!ended) error ??= new Refused(link.opened ? "the connection was lost" : "the connection does not open");
    // Reconnect at a random time within a second, because many clients may have been disconnected at the same time.
    const soon = link.opened && !this.#failures;
    const wait = soon ? 0 : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures) / 2;
    this.#failures++;
    const time = Math.max(wait, asked) + Math.random() * (wait || FIRST_WAIT);
    this.#say(ended ? "connecting" : "waiting", name, error, ended ? 0 : Date.now() + time);
    await pause(time, signal);
  }

  /** @param {State} state @param {Transport} name @param {Refused | null} [error] */
  #finish(state, name, error) {
    this.#say(state, name, error);
    this.stop();
  }

  /** @param {Transport} name */
  opened(name) {
    if (this.#state !== "open") this.#say("open", name);
  }

  /** @param {State} state @param {Transport} transport @param {Refused | null} [error] @param {number} [until] */
  #say(state, transport, error = null, until = 0) {
    this.#state = state;
    if (!this.#run) return;
    this.tell(state, { transport, error: error && error.plain, until });
  }
}

/** One attempt to connect, as the transports see it. */
class Link {
  opened = false;
  proved = false; // data has arrived
  failed = false; // this page has given up the attempt, because it did not work
  ended = false; // the last event that arrived is the end
  retry = 0; // ms, the last delay that the server sent
  news = 0;
  #patience = DOUBT;
  #began = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {Line} line @param {Transport} name @param {AbortController} attempt */
  constructor(line, name, attempt) {
    this.line = line;
    this.name = name;
    this.attempt = attempt;
    this.signal = attempt.signal;
    this.withCredentials = line.source.withCredentials;
    this.#timer = setTimeout(() => this.#fail(new Blocked("the connection does not open")), OPEN);
  }

  get good() {
    return this.news > 0 || (this.opened && Date.now() - this.#began > STEADY);
  }

  /** @param {Transport} [transport] */
  url(transport = this.name) {
    return this.line.source.url(transport, this.line.cursor(), this.line.source.clientId);
  }

  /** @param {Transport} [transport] */
  get(transport) {
    return this.line.source.get(this.url(transport), this.signal);
  }

  open() {
    if (this.signal.aborted) return;
    this.opened = true;
    this.line.opened(this.name);
    this.#check(this.#patience);
  }

  /** The server has sent this client's cursor, and perhaps a delay for reconnecting. Only a client without a cursor
   * adopts the cursor; otherwise, only events move it. @param {unknown} cursor @param {unknown} [retry] */
  begin(cursor, retry) {
    if (typeof retry === "number" && retry > 0) this.retry = retry;
    if (this.signal.aborted || this.line.cursor() || typeof cursor !== "string" || !cursor) return;
    this.line.news([], cursor);
  }

  /** The connection is alive. */
  alive() {
    if (!this.opened) this.open();
    this.proved = true;
    this.#patience = SILENCE;
    this.#check(SILENCE);
  }

  /** @param {Item[]} items @param {string} id the cursor after them */
  hand(items, id) {
    if (this.signal.aborted) return;
    this.alive();
    const last = items.at(-1);
    // If one of several channels ends, others may continue. The next attempt will show whether all have ended.
    if (last) this.ended = Boolean(last.end && !last.channel);
    this.news += this.line.news(items, id);
  }

  end() {
    clearTimeout(this.#timer);
    this.attempt.abort();
  }

  /** @param {unknown} error */
  #fail(error) {
    this.failed = !this.signal.aborted;
    this.attempt.abort(error);
  }

  /** Asks the server whether a silent stream is idle, dead or held back by a proxy. @param {number} time */
  #check(time) {
    clearTimeout(this.#timer);
    if (this.signal.aborted) return;
    this.#timer = setTimeout(async () => {
      const { news } = this;
      try {
        const { source, cursor } = this.line;
        const { items } = await source.ask(cursor(), this.signal);
        // A client without a cursor but with its own name may be at a different place than the query.
        const behind = items.length > 0 && Boolean(cursor() || !source.named);
        if (behind) await pause(GRACE, this.signal);
        if (behind && news === this.news) throw new Blocked("events do not get through");
        this.#patience = Math.min(2 * this.#patience, SILENCE);
        this.#check(this.#patience);
      } catch (error) {
        this.#fail(this.line.source.explain(error));
      }
    }, time);
  }
}

/** This tab among the tabs of the origin with the same subscription: it is the leader, or follows the leader. */
class Tabs {
  /** @type {AbortController | null} set while this tab participates */ #part = null;
  /** @type {BroadcastChannel | null} */ #channel = null;
  /** @type {News[] | null} messages that arrive while the server is queried */ #queue = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #leading = false;

  /**
   * @param {Source} source @param {Line} line @param {() => Place} place
   * @param {(items: Item[], id: string) => void} hand @param {(state: State, details: Details) => void} show
   */
  constructor(source, line, place, hand, show) {
    this.source = source;
    this.line = line;
    this.place = place;
    this.hand = hand;
    this.show = show;
  }

  join(steal = false) {
    if (this.#part) return;
    const part = (this.#part = new AbortController());
    const { signal } = part;
    this.#channel = new BroadcastChannel(this.source.key);
    this.#channel.onmessage = ({ data }) => this.#part === part && this.#heard(data);
    const lead = () => this.#part === part && this.#lead(signal);
    navigator.locks.request(this.source.key, steal ? { steal } : { signal }, lead).catch((error) => {
      if (signal.aborted) return;
      if (error.name !== "AbortError") return void this.#lead(signal); // no locks here: connect without sharing
      // Another tab has stolen the lock, because this tab did not answer.
      this.leave();
      this.line.stop();
      this.join();
    });
    this.#ask();
  }

  leave() {
    this.#part?.abort();
    this.#part = this.#queue = null;
    this.#leading = false;
    this.#channel?.close();
    clearTimeout(this.#timer);
  }

  /** Sends a message to the other tabs. @param {Message} message */
  post(message) {
    if (this.#part) this.#channel?.postMessage(message);
  }

  /** @param {boolean} doubtful */
  wake(doubtful) {
    if (this.#part && !this.#leading) this.#ask(doubtful);
  }

  /** @param {AbortSignal} signal */
  #lead(signal) {
    this.#leading = true;
    this.#queue = null;
    clearTimeout(this.#timer);
    this.line.start();
    return new Promise((resolve) => signal.addEventListener("abort", resolve));
  }

  /** Asks the leader for its cursor. If the leader does not answer, it is frozen, and this tab steals its lock. */
  #ask(doubtful = false) {
    this.post({ wake: doubtful });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.leave();
      this.join(true);
    }, OPEN);
  }

  /** @param {Message} message */
  #heard({ news, place, prefer, wake }) {
    if (prefer) this.line.prefer(prefer);
    else if (place && !this.#leading) this.line.prefer(place.details.transport); // keep it after taking over
    if (this.#leading) {
      if (wake !== undefined) {
        this.line.wake(wake);
        this.post({ place: this.place() });
      }
      return;
    }
    if (!news && !place) return;
    // This tab does not have all events yet. It will ask for the rest when it gets the lock.
    if (place?.state === "ended" && place.cursor !== this.place().cursor) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), SILENCE);
    if (news) this.#follow(news);
    if (!place) return;
    if (place.cursor !== this.place().cursor) this.#catchUp();
    this.show(place.state, place.details);
    if (isOver(place.state)) this.leave();
  }

  /** @param {News} news */
  #follow(news) {
    const { cursor } = this.place();
    if (this.#queue) this.#queue.push(news);
    else if (news.prev === cursor) this.hand(news.items, news.id);
    else if (news.id !== cursor) this.#catchUp();
  }

  /** Queries the server until this tab is at the beginning or the end of a message of the leader. */
  async #catchUp() {
    if (this.#queue || !this.#part) return;
    const { signal } = this.#part;
    /** @type {News[]} */
    const queue = (this.#queue = []);
    const fits = (/** @type {News} */ { prev, id }) => [prev, id].includes(this.place().cursor);
    while (this.#queue === queue) {
      try {
        const { items, id } = await this.source.ask(this.place().cursor, signal);
        if (this.#queue !== queue) return; // this tab now leads, or has left
        this.hand(items, id);
        if (!queue.length || queue.some(fits)) break;
        await pause(BEHIND, signal);
      } catch (error) {
        if (error instanceof Refused && (error.final || error.ended)) {
          const { details } = this.place();
          if (error.ended) this.show("ended", { ...details, error: null, until: 0 });
          else this.show("closed", { ...details, error: error.plain, until: 0 });
          return this.leave();
        }
        await pause(FIRST_WAIT, signal).catch(() => {});
      }
    }
    if (this.#queue !== queue) return;
    this.#queue = null;
    const from = queue.findIndex(fits);
    for (const news of from < 0 ? [] : queue.slice(from)) this.#follow(news);
  }
}

// --- checks of the page's arguments: a TypeError names the mistake

const isString = (/** @type {unknown} */ value) => typeof value === "string";
const isBoolean = (/** @type {unknown} */ value) => typeof value === "boolean";
const isFunction = (/** @type {unknown} */ value) => typeof value === "function";
const isList = (/** @type {unknown} */ value) => Array.isArray(value) && value.every(isString);

/** For each option, the expected kind of value and a check.
 * @type {Record<keyof Options, [string, (value: any) => boolean]>} */
const OPTIONS = {
  onEvent: ["a function", isFunction],
  onGap: ["a function", isFunction],
  onEnd: ["a function", isFunction],
  onState: ["a function", isFunction],
  getState: ["a function", isFunction],
  transports: ["a list of at least one transport", (value) => isList(value) && value.length > 0],
  lastEventId: ["a string", isString],
  clientId: ["a string that is not empty", (value) => isString(value) && value !== ""],
  channels: ["a list of strings", isList],
  shared: ["true or false", isBoolean],
  headers: ["a Headers object, or names and values that are strings", isHeaders],
  withCredentials: ["true or false", isBoolean],
  ticket: ["a function", isFunction],
};

/** @param {Options} options */
function checkOptions(options) {
  if (typeof options !== "object" || !options || Array.isArray(options)) {
    throw new TypeError("the options must be an object");
  }
  for (const [name, value] of Object.entries(options)) {
    const [what, fits] = (Object.hasOwn(OPTIONS, name) && OPTIONS[/** @type {keyof Options} */ (name)]) || [];
    if (!fits) throw new TypeError(`no such option: ${name}; there are ${Object.keys(OPTIONS).join(", ")}`);
    if (value !== undefined && !fits(value)) throw new TypeError(`${name} must be ${what}`);
  }
}

/** @param {any} value */
function isHeaders(value) {
  try {
    const pairs = value[Symbol.iterator] ? [...value] : Object.entries(value);
    new Headers(pairs);
    return typeof value === "object" && pairs.every((pair) => pair.every(isString));
  } catch {
    return false;
  }
}

/** @param {string | URL} url */
function parseUrl(url) {
  if (!(url instanceof URL) && (!isString(url) || url === "")) throw new TypeError("the URL must be a string or a URL");
  const base = globalThis.document?.baseURI ?? location.href;
  if (!URL.canParse(url, base)) throw new TypeError(`no such URL: ${url}`);
  const parsed = new URL(url, base);
  if (!/^https?:$/.test(parsed.protocol)) throw new TypeError(`the URL must begin with http: or https:, not ${parsed.protocol}`);
  if (parsed.username || parsed.password) throw new TypeError("the URL must not contain a user or a password");
  parsed.hash = "";
  return parsed;
}

// --- the transports: each promise resolves when the connection has ended, and rejects if there was none

/** @type {Record<Transport, (link: Link) => Promise<void>>} */
const TRANSPORTS = {
  sse: (link) =>
    new Promise((resolve, reject) => {
      const source = new EventSource(link.url(), { withCredentials: link.withCredentials });
      link.signal.addEventListener("abort", () => (source.close(), reject(link.signal.reason)));
      let begun = false;
      let answered = false;
      let last = ""; // EventSource repeats the last id in a message that has no id
      // Wait a little: while the server restarts, a proxy may answer with an empty stream.
      source.onopen = () => ((answered = true), setTimeout(() => link.open(), SETTLED));
      source.onmessage = ({ data, lastEventId }) => {
        const id = lastEventId === last ? "" : lastEventId;
        last = lastEventId;
        link.hand([unwrap(parse(data), id)], id);
      };
      source.addEventListener("cursor", ({ data, lastEventId }) => {
        last = lastEventId;
        const { id, retry } = parse(data) ?? {};
        link.begin(id, retry);
        // The first event arrives with the head. Even a proxy that holds back the stream may let that much through.
        if (begun) link.alive();
        else link.open();
        begun = true;
      });
      source.addEventListener("gap", ({ data, lastEventId }) => {
        last = lastEventId;
        link.hand([{ data: parse(data), gap: true }], lastEventId);
      });
      source.addEventListener("end", ({ data, lastEventId }) => {
        last = lastEventId;
        const item = unwrap(parse(data), lastEventId);
        if (item.end) link.hand([item], lastEventId);
      });
      source.onerror = () => {
        source.close(); // EventSource would reconnect automatically, but with the same URL
        if (link.opened || !answered) resolve();
        else reject(new Refused("the stream ended right after it began"));
      };
    }),

  websocket: (link) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(link.url());
      link.signal.addEventListener("abort", () => (socket.close(), reject(link.signal.reason)));
      socket.onopen = () => link.open();
      socket.onmessage = ({ data }) => (link.alive(), envelope(link, data));
      // Codes of 4400 and above are the HTTP status plus 4000.
      socket.onclose = ({ code, reason }) => {
        if (code === 1000 && reason === "end") link.ended = true;
        if (code < 4400) resolve();
        else reject(new Refused(reason || `the server closed with ${code}`, code - 4000));
      };
    }),

  ndjson: async (link) => {
    const response = await stream(link, "application/x-ndjson");
    for await (const line of pieces(link, response, "\n")) if (line) envelope(link, line);
  },

  multipart: async (link) => {
    const response = await stream(link, "multipart/");
    const boundary = /boundary="?([^";]+)"?/i.exec(response.headers.get("Content-Type") ?? "")?.[1];
    for await (const part of pieces(link, response, `\n--${boundary}\n`, "\n")) {
      const end = part.indexOf("\n\n");
      const [head, body] = [part.slice(0, end), part.slice(end + 2)];
      if (end < 0 || !/^content-type:[ \t]*application\/json/im.test(head)) continue; // a heartbeat
      const id = /^last-event-id:[ \t]*(.*)$/im.exec(head)?.[1] ?? "";
      link.hand([unwrap(parse(body), id)], id);
    }
  },

  "long-poll": async (link) => {
    // The first poll is answered immediately, which shows that the server can be reached.
    for (let first = true; ; first = false) {
      const began = Date.now();
      const count = await poll(link, first ? "interval-poll" : "long-poll");
      if (link.retry || link.ended) return;
      if (!first && !count && Date.now() - began < FIRST_WAIT) throw new Refused("the server sent nothing new");
    }
  },

  "interval-poll": async (link) => {
    for (;;) {
      await poll(link, "interval-poll");
      if (link.ended) return;
      await pause(INTERVAL, link.signal);
    }
  },
};

/** Whether a transport shows a page nothing but messages, and cannot send headers. @param {string} transport */
function bare(transport) {
  return transport === "sse" || transport === "websocket";
}

/** @param {Link} link @param {Transport} transport @returns {Promise<number>} the number of new events */
async function poll(link, transport) {
  const response = await link.get(transport);
  const { items, id } = await list(response);
  link.open();
  link.retry = delay(response.headers.get("Retry-After"));
  const { news } = link;
  link.hand(items, id);
  return link.news - news;
}

/** The answer to a poll. @param {Response} response @returns {Promise<{items: Item[], id: string}>} */
async function list(response) {
  const events = parse(await response.text());
  const id = response.headers.get("Last-Event-ID") ?? "";
  if (!Array.isArray(events)) throw new Blocked("the answer is not a list of events");
  return { items: events.map((event) => unwrap(event, id)), id };
}

/** @param {Link} link @param {string} type */
async function stream(link, type) {
  const response = await link.get();
  if (!response.headers.get("Content-Type")?.startsWith(type)) throw new Blocked(`the answer is not ${type}`);
  link.open();
  link.begin(response.headers.get("Last-Event-ID"));
  return response;
}

/** Yields the texts between separators. An incomplete text at the end is dropped.
 * @param {Link} link @param {Response} response @param {string} separator */
async function* pieces(link, response, separator, text = "") {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    link.alive();
    let from = Math.max(0, text.length - separator.length);
    text += decoder.decode(value, { stream: true });
    let start = 0;
    for (let end; (end = text.indexOf(separator, from)) >= 0; from = start) {
      yield text.slice(start, end);
      start = end + separator.length;
    }
    text = text.slice(start);
  }
}

/** Reads a message with an id: an event, a gap, or this client's cursor `{"id": ...}`, perhaps with a delay for
 * reconnecting, `{"id": ..., "retry": ms}`. Any other message is from a handler that sends no ids.
 * @param {Link} link @param {string} text */
function envelope(link, text) {
  const message = parse(text);
  const { id, data, channel } = message ?? {};
  if (isGap(message)) link.hand([{ data: message, gap: true }], id ?? "");
  else if (typeof id !== "string") link.hand([{ data: message }], "");
  else if (Object.hasOwn(message, "data")) link.hand([{ data, channel, end: isEnd(data) }], id);
  else if (Object.keys(message).every((key) => key === "id" || key === "retry")) link.begin(id, message.retry);
  else link.hand([{ data: message }], "");
}

/** @param {any} event */
function isGap(event) {
  return event?.type === "gap" && typeof event.after === "string";
}

/** Whether this is the end of a channel; `publish` refuses such events. @param {any} event */
function isEnd(event) {
  return event?.type === "end" && Object.keys(event).length === 1;
}

/** The item for an event whose id is sent separately. @param {any} event @param {string} id @returns {Item} */
function unwrap(event, id) {
  if (isGap(event)) return { data: event, gap: true };
  const { data, channel } = id.includes(",") ? (event ?? {}) : { data: event };
  return { data, channel, end: isEnd(data) };
}

/** Whether a state is final. @param {State} state */
function isOver(state) {
  return state === "closed" || state === "ended";
}

/** @param {string} text @returns {any} the text itself if it is not JSON, which handlers of your own may send */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The delay in ms of a Retry-After, which gives seconds or a date. @param {string | null} value */
function delay(value) {
  const time = /^\d+$/.test(value ?? "") ? Number(value) * 1000 : Date.parse(value ?? "") - Date.now();
  return Math.max(0, time || 0);
}

/** @param {number} time @param {AbortSignal} signal @returns {Promise<void>} */
function pause(time, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal.removeEventListener("abort", stop), resolve()), time);
    signal.addEventListener("abort", stop);
  });
}
