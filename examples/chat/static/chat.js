// The page: the connection, the list of messages, the form.

import { Subscription } from "../tatsumaki.js";
import { Messages, avatar, whoIs } from "./messages.js";

const $ = (id) => document.getElementById(id);
const SEND_TIMEOUT = 30_000;
const base = location.pathname.replace(/\/+$/, "");
const title = document.title;
const [name, ident, text] = [$("name"), $("ident"), $("text")];

// If the browser blocks storage, values last only while the page is open.
function remember(key, value) {
  try {
    localStorage.setItem(`chat.${key}`, value);
  } catch {}
}

function recall(key) {
  try {
    return localStorage.getItem(`chat.${key}`) ?? "";
  } catch {
    return "";
  }
}

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// Sent as `avatar`: the seed of this browser's colour. The page also uses the seed to recognize its
// own messages. Anyone can send the same seed: it proves nothing.
const seed = recall("seed") || randomId();
remember("seed", seed);

// --- the user's name and badge

function showMe() {
  const me = whoIs({ name: name.value, ident: ident.value, avatar: seed });
  const badge = avatar(me);
  badge.id = "you-avatar";
  $("you-avatar").replaceWith(badge);
}

for (const field of [name, ident]) {
  field.value = recall(field.id);
  field.addEventListener("input", () => {
    remember(field.id, field.value);
    showMe();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    $("more").open = false;
    text.focus();
  });
}
showMe();

$("more").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  $("more").open = false;
  $("more").firstElementChild.focus();
});
document.addEventListener("pointerdown", (event) => {
  if (!$("more").contains(event.target)) $("more").open = false;
});

// --- messages

let unread = 0;
const messages = new Messages({
  log: $("log"),
  jump: $("jump"),
  empty: $("empty"),
  mine: (event) => event.avatar === seed,
});

function show(events) {
  const count = messages.add(events);
  if (document.hidden) tellUnread(unread + count);
}

function tellUnread(count) {
  unread = count;
  document.title = count ? `(${count}) ${title}` : title;
}
document.addEventListener("visibilitychange", () => document.hidden || tellUnread(0));

// --- the connection

const WORDS = { open: "live", waiting: "reconnecting" };
const menu = $("transport");

let countdown;
function showState(state, { transport, error, until }) {
  const offline = state === "waiting" && !navigator.onLine;
  clearInterval(countdown);
  $("status").dataset.state = state;
  $("status-word").textContent = offline ? "offline" : (WORDS[state] ?? state);
  $("status-why").textContent = error?.message ?? "";
  menu.value = transport;
  $("status-by").textContent = state === "open" ? `via ${menu.selectedOptions[0].text}` : "";
  $("status-retry").hidden = state !== "waiting";
  // The countdown is hidden from screen readers, which announce only the state.
  const tick = () => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    $("status-wait").textContent = until ? `${offline ? "· trying " : ""}in ${left} s` : "";
  };
  tick();
  if (until) countdown = setInterval(tick, 250);
  // A screen reader announces only messages that arrive after the page has opened.
  if (state === "open") setTimeout(() => ($("log").ariaBusy = null), 1000);
}

/** @param {string} cursor @param {string} [transport] the user's choice for this tab; a tab with a choice does not share its connection */
function subscribe(cursor, transport) {
  return new Subscription(`${base}/events`, {
    lastEventId: cursor,
    transports: transport && [...new Set([transport, "sse", "long-poll"])],
    shared: !transport,
    onEvent: (event) => show([event]),
    onGap: () => messages.gap(),
    onState: showState,
  });
}

// The original chat streams if the URL has `?mxhr=1`.
const query = new URLSearchParams(location.search);
const wanted = query.get("mxhr") === "1" ? "multipart" : query.get("transport");
const known = [...menu.options].some((option) => option.value === wanted);

// The page was rendered with the messages so far and with the cursor after the last one.
show(JSON.parse(document.body.dataset.backlog));
let subscription = subscribe(document.body.dataset.cursor, known ? wanted : undefined);

menu.addEventListener("change", () => {
  const chosen = menu.value; // read before close(), which shows the old transport
  subscription.close();
  subscription = subscribe(subscription.lastEventId, chosen);
  // Keep the choice after a reload and in another room.
  query.delete("mxhr");
  query.set("transport", chosen);
  history.replaceState(null, "", `?${query}`);
});

$("status-retry").addEventListener("click", () => subscription.retry());

// --- "What to try": open on large screens until the user closes it

const roomy = matchMedia("(min-width: 52rem) and (min-height: 40rem)").matches;
$("hint").open = roomy && recall("hint") !== "closed";
$("hint").addEventListener("toggle", () => roomy && remember("hint", $("hint").open ? "open" : "closed"));

// --- sending a message

let sending = false;
let next = false; // Enter was pressed while the last message was still being sent
async function send() {
  const said = text.value;
  if (!said.trim()) return;
  next = sending;
  if (sending) return;
  sending = true;
  $("send").ariaDisabled = "true";
  showError("");
  try {
    const [me, link] = [name.value.trim(), ident.value.trim()];
    const body = new URLSearchParams({ text: said, name: me, ident: link, avatar: seed });
    const signal = AbortSignal.timeout(SEND_TIMEOUT);
    const response = await fetch(`${base}/post`, { method: "POST", body, signal });
    if (!response.ok) throw new Error(await oneLine(response));
    // Keep text that the user has typed in the meantime.
    if (text.value.startsWith(said)) text.value = text.value.slice(said.length);
    messages.toEnd();
  } catch (error) {
    next = false;
    const network = error instanceof TypeError || error instanceof DOMException;
    showError(`Not sent: ${network ? "the server cannot be reached" : error.message}`);
  } finally {
    sending = false;
    $("send").ariaDisabled = null;
  }
  if (next) send();
}

/** The error of a failed response on one line: the server's text, or the status. */
async function oneLine(response) {
  const plain = response.headers.get("Content-Type")?.startsWith("text/plain");
  const line = plain ? (await response.text()).split("\n", 1)[0].slice(0, 200) : "";
  return line || `the server answered ${response.status}`;
}

function showError(message) {
  $("error").textContent = message;
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
  text.focus();
});
text.addEventListener("keydown", (event) => {
  // Enter that completes a Japanese or Chinese word does not send.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  send();
});

// --- another room

$("goto").addEventListener("submit", (event) => {
  event.preventDefault();
  const room = $("goto-room").value;
  if (!/^[\w.-]+$/.test(room) || /^\.+$/.test(room)) return; // a URL cannot name the rooms "." and ".."
  location.href = base.replace(/[^/]*$/, room) + location.search;
});
