// Draws the figures that the server publishes. Each event has the figures for one second.

import { Subscription } from "../tatsumaki.js";

const $ = (id) => document.getElementById(id);
const channels = JSON.parse(document.body.dataset.channels);
const HISTORY = Number(document.body.dataset.history);
const SPEAK = 15_000; // ms between two summaries for screen readers
const SVG = "http://www.w3.org/2000/svg";

const looks = Object.fromEntries(channels.map((name) => [name, []]));
let drawing = false;
let spoken = 0;

const subscription = new Subscription("figures", {
  channels,
  // Each tab opens its own connection, so that the connections can be counted.
  shared: false,
  onEvent(look, { channel }) {
    looks[channel].push(look);
    if (looks[channel].length > HISTORY) looks[channel].shift();
    draw();
  },
  onState(state) {
    const words = { open: "live", connecting: "connecting", waiting: "server unreachable, reconnecting", closed: "closed", ended: "ended" };
    const away = state !== "open" && looks.cpu.length > 0;
    // Do not announce further attempts: a screen reader would read out each one.
    if (state !== "connecting" || !away) $("status-word").textContent = words[state];
    $("status").dataset.state = state;
    $("retry").hidden = state !== "waiting";
    $("main").toggleAttribute("data-stale", away);
  },
});
$("retry").addEventListener("click", () => subscription.retry());

// --- drawing, once per frame

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    cpu(looks.cpu);
    traffic(looks.traffic);
    server(looks.server);
    $("main").removeAttribute("aria-busy");
    speak();
  });
}

function cpu(all) {
  const last = all.at(-1);
  if (!last) return;
  const known = last.machine !== null;
  $("cpu-all").hidden = !known;
  $("cpu-process").textContent = percent(last.process);
  $("cpu-machine").textContent = known ? percent(last.machine) : "";
  const top = ceiling(Math.max(10, ...all.map((look) => Math.max(look.process, look.machine ?? 0))));
  const lines = [[all.map((look) => look.process), "line", true]];
  if (known) lines.unshift([all.map((look) => look.machine ?? 0), "line second", false]);
  plot($("cpu"), lines, top, 600, 160, true);
  [top, top / 2, 0].forEach((value, i) => { $("cpu-scale").children[i].textContent = `${value} %`; });
  $("cpu").setAttribute("aria-label", `CPU over the last two minutes: ${percent(last.process)} now`);
  document.title = `${percent(last.process)} CPU · Dashboard`;
}

function traffic(all) {
  const last = all.at(-1);
  if (!last) return;
  $("delivered").textContent = number(last.delivered);
  $("delivered-note").textContent = `${number(last.published)} published per second`;
  const [amount, unit] = size(last.bytes);
  $("bytes").textContent = amount;
  $("bytes-unit").textContent = `${unit} per second`;
  $("delay").textContent = last.delay === null ? "–" : number(1000 * last.delay);
  spark("delivered", all.map((look) => look.delivered));
  spark("bytes", all.map((look) => look.bytes));
  spark("delay", all.map((look) => look.delay ?? 0));
}

function server(all) {
  const last = all.at(-1);
  if (!last) return;
  const total = (look) => Object.values(look.connections).reduce((sum, count) => sum + count, 0);
  $("connections").textContent = number(total(last));
  $("connections-note").textContent =
    Object.entries(last.connections).map(([name, count]) => `${count} ${name}`).join(", ") || "\u00a0";
  $("lag").textContent = number(1000 * last.lag);
  $("uptime").textContent = duration(last.uptime);
  $("uptime-note").textContent = `${number(last.channels)} channels`;
  spark("connections", all.map(total));
  spark("lag", all.map((look) => look.lag));
}

function spark(name, values) {
  plot($(`${name}-spark`), [[values, "line", true]], Math.max(...values) * 1.1 || 1, 200, 40, false);
}

// The newest value is at the right; older values move left by one step each second.
function plot(svg, lines, top, width, height, grid) {
  const step = width / (HISTORY - 1);
  const shapes = grid ? [0, 0.5, 1].map((part) => shape("path", "grid", `M0 ${part * height}H${width}`)) : [];
  for (const [values, style, filled] of lines) {
    const points = values.map((value, i) => [
      (width - (values.length - 1 - i) * step).toFixed(1),
      (height * (1 - value / top)).toFixed(1),
    ]);
    const path = `M${points.map((point) => point.join(" ")).join("L")}`;
    if (filled) shapes.push(shape("path", "area", `${path}V${height}H${points[0][0]}Z`));
    shapes.push(shape("path", style, path));
  }
  svg.replaceChildren(...shapes);
}

function shape(name, style, path) {
  const element = document.createElementNS(SVG, name);
  element.setAttribute("class", style);
  element.setAttribute("d", path);
  return element;
}

// --- words

function speak() {
  const [look, load] = [looks.server.at(-1), looks.cpu.at(-1)];
  if (!look || !load || Date.now() - spoken < SPEAK) return;
  spoken = Date.now();
  $("spoken").textContent = `CPU ${percent(load.process)}, ${$("connections").textContent} connections, ${$("delivered").textContent} events per second.`;
}

function percent(value) {
  return `${value.toFixed(1)} %`;
}

function number(value) {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

function size(bytes) {
  if (bytes < 1000) return [number(bytes), "bytes"];
  return bytes < 1e6 ? [number(bytes / 1e3), "KB"] : [number(bytes / 1e6), "MB"];
}

function duration(seconds) {
  const [s, m, h] = [Math.floor(seconds) % 60, Math.floor(seconds / 60) % 60, Math.floor(seconds / 3600)];
  const two = (value) => String(value).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function ceiling(value) {
  return [10, 20, 50, 100, 200, 400].find((top) => value <= top) ?? Math.ceil(value / 100) * 100;
}
