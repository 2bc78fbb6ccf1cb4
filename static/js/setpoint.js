// A set-point from the faceplate: the button says the whole deed, its life is shown step by step.
import { digits, duration, fill, quantity, unitOf, words } from "./quantities.js";

const ORDER = ["received", "validated", "dispatched", "executed"];
const STOPPED = { rejected: "p", failed: "p", expired: "p", cancelled: "p" };
let live = false;

document.addEventListener("liveness", (event) => {
  live = event.detail;
  // At once, not with the next redraw: a click between the two must find closed buttons.
  if (!live) for (const button of document.querySelectorAll("[data-send], [data-life] button")) button.disabled = true;
});

function wish(form) {
  const data = new FormData(form), factor = Number(form.dataset.factor), typed = String(data.get("value") ?? "").trim().replace(",", ".").replace("−", "-");
  const directed = form.dataset.directed === "1", turn = Number(data.get("direction") ?? 1);
  const stop = directed && turn === 0;
  const number = stop ? 0 : typed === "" ? NaN : Number(typed) * factor;
  const value = directed ? (stop ? 0 : Math.abs(number) * turn) : number;
  return { value, stop, turn: directed ? turn : null, typed, minutes: Number(data.get("minutes")), reason: String(data.get("reason") ?? "").trim() };
}

function clockAt(ms, zone) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" }).format(new Date(ms));
}

function deed(form, { value, stop, turn, minutes }, feed) {
  const said = words.setpoint, until = clockAt(feed.now() + minutes * 60000, form.dataset.zone), amount = `${digits(Math.abs(value), form.dataset.unit)} ${form.dataset.shown}`;
  if (stop) return fill(said.stop, until);
  if (turn !== null) return fill(turn > 0 ? said.charge : said.discharge, amount, until);
  return fill(form.dataset.mode === "limit" ? said.limit : said.set, quantity(value, form.dataset.unit), until);
}

function showForm(form, feed) {
  const asked = wish(form), { unit, zone } = form.dataset, button = form.querySelector("[data-send]");
  const input = form.querySelector("[name=value]");
  input.disabled = asked.stop;
  input.required = !asked.stop;
  const low = Number(form.dataset.minimum), high = Number(form.dataset.maximum);
  const outside = Number.isFinite(asked.value) && (asked.value < low || asked.value > high);
  const point = form.dataset.feedback ? feed.read(form.dataset.feedback) : null;
  form.querySelector("[data-current]").textContent = point ? quantity(point.value, unit) : "–";
  form.querySelector("[data-new]").textContent = Number.isFinite(asked.value) ? quantity(asked.value, unit) : "–";
  form.querySelector("[data-until]").textContent = `${clockAt(feed.now() + asked.minutes * 60000, zone)} ${zone.split("/").pop().replace("_", " ")}`;
  const busy = form.dataset.busy === "1";
  const blocked = feed.blocked(form.dataset.device);
  button.disabled = !live || busy || blocked !== "" || !Number.isFinite(asked.value) || outside;
  button.textContent = busy ? words.setpoint.sending
    : !live ? words.notLive
    : blocked ? words.guards[blocked]
      : !Number.isFinite(asked.value) ? words.setpoint.fill
        : outside ? fill(words.setpoint.range, quantity(low, unit), quantity(high, unit)) : deed(form, asked, feed);
}

async function post(url, form, body) {
  const token = (form ?? document).querySelector("[name=csrfmiddlewaretoken]").value;
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": token };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return { ok: answer.ok, body: await answer.json().catch(() => ({ reason: words.setpoint.notSent })) };
}

async function send(form, feed) {
  const asked = wish(form), refused = form.querySelector("[data-refused]"), { device, point, unit, mode } = form.dataset;
  refused.hidden = true;
  form.dataset.busy = "1";
  showForm(form, feed);
  const body = { id: form.dataset.wish, device, point, unit, mode, value: asked.value, valid_for_s: asked.minutes * 60, reason: asked.reason };
  try {
    const answer = await post(form.action, form, body);
    const record = answer.ok ? answer.body : answer.body.record;
    if (record) feed.setpoints.set(record.id, newer(feed.setpoints.get(record.id), record));
    if (!answer.ok) { refused.textContent = answer.body.reason; refused.hidden = false; }
    form.dataset.wish = crypto.randomUUID();
  } catch {
    // The same id stays, so that trying again cannot make a second one.
    refused.textContent = words.setpoint.notSent;
    refused.hidden = false;
  }
  form.dataset.busy = "";
  showForm(form, feed);
  showLife(form.closest("[data-face-inside]"), feed);
}

const newer = (kept, fresh) => (kept && kept.events.length > fresh.events.length ? kept : fresh);

export function openForms(scope, feed) {
  const records = scope.querySelector("#records");
  for (const record of records ? JSON.parse(records.textContent) : []) feed.setpoints.set(record.id, newer(feed.setpoints.get(record.id), record));
  for (const form of scope.querySelectorAll("[data-setpoint]")) {
    form.dataset.wish = crypto.randomUUID();
    form.addEventListener("input", () => showForm(form, feed));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (live && !form.querySelector("[data-send]").disabled) send(form, feed);
    });
  }
}

export function showForms(scope, feed) {
  for (const form of scope.querySelectorAll("[data-setpoint]")) showForm(form, feed);
}

// Set-points that hold their point now, the strongest first: the same rule as the server's, followed by the frames.
export function inForce(feed) {
  const now = feed.now();
  const held = [...feed.setpoints.values()].filter((record) => record.issuer !== "fallback"
    && (record.active || ["validated", "dispatched", "unknown"].includes(record.state))
    && Date.parse(record.valid_until) > now && (!record.valid_from || Date.parse(record.valid_from) <= now));
  return held.sort((a, b) => a.priority - b.priority || Date.parse(b.received_at) - Date.parse(a.received_at));
}

// "Held, priority 3, until 15:00, by" and who.
export function heldWords(record) {
  const until = clockAt(Date.parse(record.valid_until), document.querySelector("[data-clock]").dataset.clock);
  return [fill(words.setpoint.held, record.priority, until), record.requested_by];
}

export function showHolder(scope, feed) {
  const line = scope.querySelector("[data-holder]");
  if (!line) return;
  const points = line.dataset.points.split(" ");
  const held = inForce(feed).filter(({ device, point }) => device === line.dataset.holder && points.includes(point));
  line.hidden = !held.length;
  if (!held.length) return;
  const [how, who] = heldWords(held[0]);
  if (line.children[0].textContent !== how) line.children[0].textContent = how;
  if (line.children[1].textContent !== who) line.children[1].textContent = who;
}

function steps(record) {
  const NS = "http://www.w3.org/2000/svg", svg = document.createElementNS(NS, "svg");
  const reached = Math.max(...record.events.map(({ state }) => ORDER.indexOf(state)), 0), stopped = record.state in STOPPED;
  svg.setAttribute("class", "steps");
  svg.setAttribute("viewBox", "0 0 76 14");
  svg.setAttribute("aria-hidden", "true");
  const add = (name, attributes) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    svg.append(element);
  };
  const cross = stopped ? Math.min(reached + 1, 3) : -1;
  for (let n = 0; n < 3; n += 1) add("line", { x1: 6 + 21 * n, x2: 27 + 21 * n, y1: 7, y2: 7, class: n < (stopped ? cross : reached) ? "on" : "" });
  for (let n = 0; n < 4; n += 1) {
    const x = 6 + 21 * n;
    if (n === cross) add("path", { d: `M${x - 4} 3L${x + 4} 11M${x + 4} 3L${x - 4} 11` });
    else add("circle", { cx: x, cy: 7, r: 4.5, class: n <= reached ? "on" : "" });
  }
  return svg;
}

function sentence(record) {
  const said = words.setpoint, last = record.events.at(-1), first = record.events[0];
  if (record.state === "executed") {
    const sent = record.events.find(({ state }) => state === "dispatched") ?? first;
    const done = record.events.find(({ state }) => state === "executed") ?? last;
    const took = duration(Date.parse(done.at) - Date.parse(sent.at));
    return record.active ? fill(said.in, took) : fill(record.superseded_by ? said.replaced : said.over, took);
  }
  return said.state[record.state] ?? record.state;
}

// "ends in 4 min 12 s, then 0.0 kW is written": by the server's clock, as the frames brought it.
function countdown(record, feed) {
  if (!record?.active) return "";
  const left = duration(Date.parse(record.valid_until) - feed.now()), { value } = record.then;
  return value === null ? fill(words.setpoint.endsByItself, left) : fill(words.setpoint.ends, left, `${digits(value, record.unit)} ${unitOf(record.unit)}`);
}

export function showLife(scope, feed) {
  const list = scope?.querySelector("[data-life]");
  if (!list) return;
  const mine = [...feed.setpoints.values()].filter(({ device }) => device === list.dataset.device);
  mine.sort((a, b) => Date.parse(b.received_at) - Date.parse(a.received_at));
  for (const line of list.querySelectorAll("[data-ends]")) line.textContent = countdown(feed.setpoints.get(line.dataset.ends), feed);
  const key = mine.slice(0, 6).map(({ id, state, active }) => `${id}${state}${active}`).join() + live;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...mine.slice(0, 6).map((record) => item(record, list, feed)));
  if (!mine.length) { const empty = document.createElement("li"); empty.className = "hint"; const why = document.createElement("span"); why.className = "why"; why.textContent = words.setpoint.none; empty.append(why); list.append(empty); }
}

function item(record, list, feed) {
  const row = document.createElement("li"), parts = [];
  row.dataset.setpointId = record.id;
  row.dataset.state = record.state;
  const zone = document.querySelector("[data-clock]").dataset.clock;
  const part = (name, words_) => { const element = document.createElement("span"); element.className = name; element.textContent = words_; parts.push(element); return element; };
  part("at", new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(record.received_at)));
  part("num", record.label || `${digits(record.value, record.unit)} ${unitOf(record.unit)}`);
  parts.push(steps(record));
  part("said", sentence(record));
  const open = ["received", "validated", "dispatched"].includes(record.state) || (record.active && record.kind !== "command");
  if (open && list.dataset.operator) {
    const button = document.createElement("button");
    button.type = "button";
    button.disabled = !live;
    button.textContent = words.setpoint.cancel;
    button.addEventListener("click", () => cancel(record, list, feed, button));
    parts.push(button);
  }
  if (record.reason && record.state !== "executed") part("why", record.reason);
  if (record.active && record.then) part("why", countdown(record, feed)).dataset.ends = record.id;
  else if (record.state === "executed" && record.release_reason) part("why", record.release_reason);
  row.append(...parts);
  return row;
}

async function cancel(record, list, feed, button) {
  button.disabled = true;
  try {
    const answer = await post(`${list.dataset.cancel}${record.id}/cancel`, null, {});
    if (answer.ok) feed.setpoints.set(record.id, answer.body);
    else button.closest("li").append(Object.assign(document.createElement("span"), { className: "why", textContent: answer.body.reason }));
  } catch {
    button.disabled = false;
  }
  showLife(list.closest("[data-face-inside]"), feed);
}
