export class Subscription {
    /** @param {string | URL} url @param {Options} [options] */
    constructor(url: string | URL, options?: Options);
    /** The state of the connection: "connecting", "open", "waiting" (to retry), "closed" (for good) or "ended" (for good,
     * because the channel has ended). */
    get state(): State;
    /** The cursor after the last event that was passed on. */
    get lastEventId(): string;
    set transport(name: Transport);
    /** The transport in use. Set it to switch to another one, in all tabs that share. No event is lost or repeated. If
     * the new transport does not get through, those of the option `transports` are tried. */
    get transport(): Transport;
    /** If the subscription is waiting, retries now; for a button "Try now". */
    retry(): void;
    /** Ends the subscription for good. */
    close(): void;
    #private;
}
export type State = "connecting" | "open" | "waiting" | "closed" | "ended";
export type Transport = "sse" | "websocket" | "ndjson" | "multipart" | "long-poll" | "interval-poll";
export type Gap = {
    type: "gap";
    after: string;
    id: string;
    channel?: string;
};
export type Item = {
    data: any;
    channel?: string;
    gap?: boolean;
    end?: boolean;
};
/**
 * `status` is the HTTP status, or 0 without an answer.
 */
export type Refusal = {
    message: string;
    status: number;
};
export type Details = {
    transport: Transport;
    error: Refusal | null;
    until: number;
};
export type Place = {
    state: State;
    details: Details;
    cursor: string;
};
export type News = {
    prev: string;
    id: string;
    items: Item[];
};
/**
 * from tab to tab
 */
export type Message = {
    news?: News;
    place?: Place;
    prefer?: Transport;
    wake?: boolean;
};
export type Options = {
    /**
     * called with each event: `data` is
     * the published JSON value; `id` is the cursor after it, or "" if more events of the same answer follow; `channel`
     * is its channel, if there are several.
     */
    onEvent?: ((data: any, at: {
        id: string;
        channel?: string;
    }) => void) | undefined;
    /**
     * called when events between `after` and `id` are lost.
     */
    onGap?: ((gap: Gap) => void) | undefined;
    /**
     * called once, when the channel has ended and all its events were passed on. After that,
     * the page does not reconnect. With several channels, it is called when all of them have ended, and `onEvent` gets
     * the end of each, `{type: "end"}`.
     */
    onEnd?: (() => void) | undefined;
    /**
     * loads
     * and shows the state of the page, and returns an object (which may have other members) with the cursor at which the
     * server made the state. It is called before the first connection (unless there is a `lastEventId`) and after each
     * gap, one call at a time. When it is done, the events after the cursor follow. If it fails, it is called again
     * after 1 second, backing off to 15 seconds. `signal` is aborted when the subscription is closed, and after 30
     * seconds.
     */
    getState?: ((info: {
        signal: AbortSignal;
    }) => Promise<{
        lastEventId: string;
    }> | {
        lastEventId: string;
    }) | undefined;
    /**
     * called when the state or its details change.
     * `transport` is the transport in use, `error` the reason for "waiting" or "closed", `until` the time of the next
     * attempt in ms, as in `Date.now()`. "ended" is reported before `onEnd` is called.
     */
    onState?: ((state: State, details: Details) => void) | undefined;
    /**
     * tried in this order. The first that gets through is kept.
     * Default: sse (or ndjson if there are `headers`), then long-poll.
     */
    transports?: Transport[] | undefined;
    /**
     * the cursor to start from. Default: start with the backlog, like a new client.
     */
    lastEventId?: string | undefined;
    /**
     * the name of the client. A new connection with the same name ends the older one.
     * Default: a random name.
     */
    clientId?: string | undefined;
    /**
     * the channels, for a URL that names none.
     */
    channels?: string[] | undefined;
    /**
     * whether tabs with the same subscription share one connection. Default: true. Browsers
     * allow sharing only on https: and localhost.
     */
    shared?: boolean | undefined;
    /**
     * headers of each request; not possible
     * with sse and websocket.
     */
    headers?: Record<string, string> | [string, string][] | Headers | undefined;
    /**
     * whether to send cookies to another origin.
     */
    withCredentials?: boolean | undefined;
    /**
     * returns a ticket for the URL. It is called before each attempt to
     * connect, so tickets may be short-lived.
     */
    ticket?: (() => string | Promise<string>) | undefined;
};
