// Puts the page together: the feed, the list of messages, the form.

import { Feed, oneLine, randomId } from "./feed.js";
import { Messages, avatar, whoIs } from "./messages.js";

const $ = (id) => document.getElementById(id);
const SEND_TIMEOUT = 30_000;
const base = location.pathname.replace(/\/+$/, "");
const mxhr = new URLSearchParams(location.search).get("mxhr") === "1";
const title = document.title;
const [name, ident, text] = [$("name"), $("ident"), $("text")];

// Storage may be switched off; then things are remembered as long as the page is open.
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

// Sent as `avatar`: the seed of this browser's colour, and how it knows its own messages. A look, not a proof.
const seed = recall("seed") || randomId();
remember("seed", seed);

// --- who I am

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

// --- what is said

let unread = 0;
const messages = new Messages({
  log: $("log"),
  jump: $("jump"),
  empty: $("empty"),
  mine: (event) => event.avatar === seed,
});

function tellUnread(count) {
  unread = count;
  document.title = count ? `(${count}) ${title}` : title;
}
document.addEventListener("visibilitychange", () => document.hidden || tellUnread(0));

// --- the connection

let countdown;
function showState(state, until, reason) {
  clearInterval(countdown);
  $("status").dataset.state = state;
  $("status-word").textContent = { waiting: "reconnecting", offline: "offline" }[state] ?? state;
  $("status-why").textContent = reason;
  // Every second for the eye only: a screen reader hears the word, once.
  const tick = () => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    $("status-wait").textContent = until ? `${state === "offline" ? "· trying " : ""}in ${left} s` : "";
  };
  tick();
  if (until) countdown = setInterval(tick, 250);
  // What was said before is there to be read, not to be read out.
  if (state === "live") setTimeout(() => ($("log").ariaBusy = null), 1000);
}

new Feed({
  base,
  mxhr,
  probe: document.querySelector("link[rel=icon]").href,
  onEvents: (events) => {
    const count = messages.add(events);
    if (document.hidden) tellUnread(unread + count);
  },
  onState: showState,
}).start();
$(mxhr ? "by-stream" : "by-poll").ariaCurrent = "page";

// --- saying something

let sending = false;
let next = false; // Enter was pressed while the last text was still on its way
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
    // What was typed meanwhile stays.
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

function showError(message) {
  $("error").textContent = message;
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
  text.focus();
});
text.addEventListener("keydown", (event) => {
  // Enter that ends the input of a Japanese or Chinese word does not send.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  send();
});

// --- another room

$("goto").addEventListener("submit", (event) => {
  event.preventDefault();
  const room = $("goto-room").value;
  if (!/^[\w.-]+$/.test(room) || /^\.+$/.test(room)) return; // "." and ".." are no rooms in a URL
  location.href = base.replace(/[^/]*$/, room) + location.search;
});
