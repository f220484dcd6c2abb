// The list of messages. Events are untrusted: everything in them becomes text, except http: and
// https: links, which are rebuilt here.

const KEEP = 500; // maximum number of messages in the page
const TOGETHER = 120; // seconds within which messages of one person share a heading
const MISSING = "The server was restarted, or this page was offline for a long time: messages may be missing here";
const NEAR = 60; // pixels from the end that still count as "at the end"

export class Messages {
  #log;
  #jump;
  #empty;
  #mine;
  #last = null; // {who, time, body} of the last group
  #unseen = 0;
  #atEnd = true;

  /** log, jump, empty: elements; mine(event): whether this browser sent the event. */
  constructor({ log, jump, empty, mine }) {
    this.#log = log;
    this.#jump = jump;
    this.#empty = empty;
    this.#mine = mine;
    log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#atEnd && this.toEnd()).observe(log);
    jump.addEventListener("click", () => {
      this.toEnd();
      log.focus();
    });
    setInterval(() => this.refreshTimes(), 20_000);
    document.addEventListener("visibilitychange", () => document.hidden || this.refreshTimes());
  }

  /** Shows events, oldest first; returns how many messages were added. */
  add(events) {
    const stay = this.#atEnd;
    let count = 0;
    for (const event of events) {
      if (["message", undefined].includes(event?.type) && this.#message(event)) count++;
    }
    this.#empty.hidden = this.#last !== null;
    this.#prune();
    if (stay) this.toEnd();
    else this.#tellUnseen(this.#unseen + count);
    return count;
  }

  /** Marks a place where messages may be missing. The last such place shows the sentence, earlier ones only dots. */
  gap() {
    if (this.#log.lastElementChild.className === "notice") return;
    const stay = this.#atEnd;
    for (const notice of this.#log.querySelectorAll(".notice")) {
      notice.textContent = "· · ·";
      notice.title = MISSING;
    }
    this.#log.append(element("p", "notice", MISSING));
    this.#last = { key: "" };
    this.#empty.hidden = true;
    if (stay) this.toEnd();
  }

  toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#atEnd = true;
    this.#tellUnseen(0);
  }

  refreshTimes() {
    for (const time of this.#log.querySelectorAll("time")) time.textContent = ago(Date.parse(time.dateTime));
  }

  #message(event) {
    const text = content(event ?? {});
    if (!text.textContent.trim()) return false;
    const who = whoIs(event);
    const seconds = isMoment(event.time) ? event.time : Date.now() / 1000;
    const mine = this.#mine(event);
    const key = JSON.stringify([who, mine]);
    let group = this.#last;
    const goesOn = group?.key === key && seconds - group.time < TOGETHER;
    if (!goesOn) {
      group = { key, time: seconds, body: element("div", "body") };
      group.body.append(head(who, seconds, mine));
      const article = element("article", mine ? "group own" : "group");
      article.append(avatar(who), group.body);
      this.#log.append(article);
      this.#last = group;
    }
    const bubble = element("div", "bubble");
    bubble.title = new Date(seconds * 1000).toLocaleString();
    if (goesOn) bubble.append(element("span", "hidden", `${mine ? "You" : who.name}: `));
    const shown = element("div", "text");
    shown.dir = "auto";
    shown.append(text);
    bubble.append(shown);
    group.body.append(bubble);
    return true;
  }

  #prune() {
    const bubbles = this.#log.querySelectorAll(".bubble, .notice");
    for (let i = 0; i < bubbles.length - KEEP; i++) {
      const group = bubbles[i].closest(".group");
      bubbles[i].remove();
      if (group && !group.querySelector(".bubble")) group.remove();
    }
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#atEnd) this.#tellUnseen(0);
  }

  #tellUnseen(count) {
    this.#unseen = count;
    this.#jump.hidden = count === 0;
    this.#jump.textContent = count === 1 ? "1 new message" : `${count} new messages`;
  }
}

/** The sender according to the event: short texts, and the seed of the colour. */
export function whoIs(event) {
  const name = clean(event.name, 40) || "Anonymous";
  const ident = clean(event.ident, 200);
  return { name, ident, seed: clean(event.avatar, 64) || ident || name };
}

/** A round badge with initials, drawn here, so that no other host is contacted. */
export function avatar(who) {
  const badge = element("span", "avatar", initials(who.name));
  badge.ariaHidden = "true";
  badge.style.setProperty("--hue", hue(who.seed));
  return badge;
}

function head(who, seconds, mine) {
  const line = element("div", "head");
  const name = element("bdi", "name", who.name);
  name.style.setProperty("--hue", hue(who.seed));
  line.append(name);
  if (mine) line.append(element("span", "me", "you"));
  if (who.ident) line.append(identity(who.ident));
  const time = element("time", "", ago(seconds * 1000));
  time.dateTime = new Date(seconds * 1000).toISOString();
  time.title = new Date(seconds * 1000).toLocaleString();
  line.append(time);
  return line;
}

function identity(ident) {
  const url = webUrl(ident);
  if (!url) return element("bdi", "ident", ident);
  const link = webLink(url, url.host + (url.pathname === "/" ? "" : url.pathname));
  link.className = "ident";
  return link;
}

/** The content of an event: its `html`, or else its `text`. */
function content({ html, text }) {
  const plain = typeof html !== "string" && typeof text === "string";
  if (!plain) return safeHtml(html);
  const fragment = document.createDocumentFragment();
  fragment.append(text);
  return fragment;
}

/** The server's HTML, rebuilt from its text and web links; everything else is dropped. */
function safeHtml(html) {
  const inert = new DOMParser().parseFromString(typeof html === "string" ? html : "", "text/html");
  const copy = document.createDocumentFragment();
  const walk = (from, to) => {
    for (const node of from.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) {
        to.append(node.data);
      } else if (node.nodeType === Node.ELEMENT_NODE) {
        const url = node.localName === "a" && to === copy && webUrl(node.getAttribute("href"));
        const target = url ? webLink(url) : to;
        walk(node, target);
        if (url) to.append(target);
      }
    }
  };
  walk(inert.body, copy);
  return copy;
}

/** The URL of an absolute http: or https: address, else null. */
function webUrl(text) {
  const url = typeof text === "string" ? URL.parse(text) : null;
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : null;
}

function webLink(url, text = "") {
  const link = element("a", "", text);
  link.href = url.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

/** One line of text without control characters, of at most `length` characters. */
function clean(value, length) {
  if (typeof value !== "string") return "";
  return value.slice(0, length * 4).replace(/[\p{Cc}\s]+/gu, " ").trim().slice(0, length);
}

function initials(name) {
  const letters = name.split(" ").map((word) => /[\p{L}\p{N}\p{Extended_Pictographic}]/u.exec(word)?.[0] ?? "");
  return letters.filter(Boolean).slice(0, 2).join("").toUpperCase() || "?";
}

/** The hue of a text in degrees, always the same for the same text (FNV-1a). */
function hue(text) {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193) >>> 0;
  return hash % 360;
}

function isMoment(seconds) {
  return typeof seconds === "number" && Math.abs(seconds) < 8e12;
}

function ago(moment) {
  const seconds = (Date.now() - moment) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
