// A set-point from the faceplate: the button says the whole deed, its life is shown step by step.
import { digits, duration, fill, quantity, unitOf, words } from "./quantities.js";
import { limits, showEffect } from "./effect.js";
import { sentence, showProgress, steps } from "./progress.js";
import { clockAt, pageZone } from "./time_zones.js";

const LAST = 10;
// Fields that a refusal may name, as the form has them.
const FIELDS = { value: "value", valid_for_s: "minutes", valid_until: "minutes", reason: "reason", on_expiry: "ending", fallback_value: "fallback" };
let live = false;

document.addEventListener("liveness", (event) => {
  live = event.detail;
  // At once, not with the next redraw: a click between the two must find closed buttons.
  if (!live) for (const button of document.querySelectorAll("[data-send], [data-life] button, [data-needs-live]")) button.disabled = true;
});

const typedIn = (data, name) => String(data.get(name) ?? "").trim().replace(",", ".").replace("−", "-");
const numberOf = (typed, factor) => (typed === "" ? NaN : Number(typed) * factor);

// What happens at the end: the choice, the value that is written then (null: none of ours), and the sentence that says so.
function ending(form, data, factor, directed) {
  const { value: action, dataset } = form.elements.ending.selectedOptions[0];
  if (action !== "fallback") return { action, value: null, then: dataset.then };
  const number = numberOf(typedIn(data, "fallback"), factor), value = directed ? Math.abs(number) * Number(data.get("fallback_turn")) : number;
  return { action, value, then: fill(dataset.then, quantity(value, form.dataset.unit)) };
}

function wish(form) {
  const data = new FormData(form), factor = Number(form.dataset.factor), typed = typedIn(data, "value");
  const directed = form.dataset.directed === "1", turn = Number(data.get("direction") ?? 1);
  const stop = directed && turn === 0;
  const number = stop ? 0 : numberOf(typed, factor);
  const value = directed ? (stop ? 0 : Math.abs(number) * turn) : number;
  return { value, stop, turn: directed ? turn : null, typed, minutes: Number(data.get("minutes")), reason: String(data.get("reason") ?? "").trim(), end: ending(form, data, factor, directed) };
}

function deed(form, { value, stop, turn, minutes }, feed) {
  const said = words.setpoint, until = clockAt(feed.now() + minutes * 60000), amount = `${digits(Math.abs(value), form.dataset.unit)} ${form.dataset.shown}`;
  if (stop) return fill(said.stop, until);
  if (turn !== null) return fill(turn > 0 ? said.charge : said.discharge, amount, until);
  return fill(form.dataset.mode === "limit" ? said.limit : said.set, quantity(value, form.dataset.unit), until);
}

function showForm(form, feed) {
  const asked = wish(form), { unit } = form.dataset, button = form.querySelector("[data-send]");
  const input = form.querySelector("[name=value]");
  input.disabled = asked.stop;
  input.required = !asked.stop;
  for (const part of form.querySelectorAll("[data-fallback]")) part.hidden = asked.end.action !== "fallback";
  const incomplete = !Number.isFinite(asked.value) || Number.isNaN(asked.end.value);
  const [low, high] = limits(form, feed), outside = Number.isFinite(asked.value) && (asked.value < low || asked.value > high);
  showEffect(form, feed, asked);
  showProgress(form.querySelector("[data-progress]"), feed.setpoints.get(form.dataset.sent), feed);
  const busy = form.dataset.busy === "1";
  const blocked = feed.blocked(form.dataset.device);
  button.disabled = !live || busy || blocked !== "" || incomplete || outside;
  const told = busy ? words.setpoint.sending
    : !live ? words.notLive
    : blocked ? words.guards[blocked]
      : incomplete ? (Number.isFinite(asked.value) ? words.setpoint.fillEnd : words.setpoint.fill)
        : outside ? fill(words.setpoint.range, quantity(low, unit), quantity(high, unit)) : deed(form, asked, feed);
  if (button.textContent !== told) button.textContent = told;
}

async function post(url, form, body) {
  const token = (form ?? document).querySelector("[name=csrfmiddlewaretoken]").value;
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": token };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return { ok: answer.ok, body: await answer.json().catch(() => ({ reason: words.setpoint.notSent })) };
}

async function send(form, feed) {
  const asked = wish(form), { device, point, unit, mode } = form.dataset;
  const at = form.contains(document.activeElement) ? document.activeElement : null;
  refuse(form, "", "");
  form.dataset.sent = "";
  form.dataset.busy = "1";
  showForm(form, feed);
  const body = { id: form.dataset.wish, device, point, unit, mode, value: asked.value, valid_for_s: asked.minutes * 60, reason: asked.reason, on_expiry: asked.end.action };
  if (asked.end.value !== null) body.fallback_value = asked.end.value;
  let refusal = null;
  try {
    const answer = await post(form.action, form, body);
    const record = answer.ok ? answer.body : answer.body.record;
    if (record) feed.setpoints.set(record.id, newer(feed.setpoints.get(record.id), record));
    if (answer.ok) { form.reset(); form.dataset.sent = record.id; }
    else refusal = [fill(words.setpoint.refused, answer.body.reason), answer.body.field || (answer.body.code === "out_of_range" ? "value" : "")];
    form.dataset.wish = crypto.randomUUID();
  } catch {
    // The same id stays, so that trying again cannot make a second one.
    refusal = [words.setpoint.notSent, ""];
  }
  form.dataset.busy = "";
  showForm(form, feed);
  showLife(form.closest("[data-face-inside]"), feed);
  if (refusal) refuse(form, ...refusal);
  else if (at) settle(form, at);
}

// The sentence stands beside the field it is about, which has the focus: Enter after mending sends again.
function refuse(form, told, field) {
  const refused = form.querySelector("[data-refused]");
  refused.textContent = told;
  refused.hidden = !told;
  for (const each of form.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
  if (!told) return;
  form.dataset.sent = "";
  const input = form.elements[FIELDS[field]] ?? form.elements.value, place = input.disabled ? form.querySelector("[data-send]") : input;
  if (FIELDS[field]) input.setAttribute("aria-invalid", "true");
  place.focus();
  place.select?.();
}

// A button that was closed while it sent has lost the focus: it goes back to the form, unless the reader has moved on.
function settle(form, at) {
  if (document.activeElement !== document.body && document.activeElement !== at) return;
  const place = at.disabled ? form.elements.value : at;
  place.focus({ preventScroll: true });
}

// Escape takes back what was typed; with nothing typed it is the faceplate's.
function takeBack(form, feed, event) {
  const { typed, reason, stop } = wish(form), told = !form.querySelector("[data-refused]").hidden;
  if (event.key !== "Escape" || !(typed || reason || stop || told)) return;
  event.stopPropagation();
  form.reset();
  refuse(form, "", "");
  showForm(form, feed);
  form.elements.value.focus();
}

const newer = (kept, fresh) => (kept && kept.events.length > fresh.events.length ? kept : fresh);

export function openForms(scope, feed) {
  const records = scope.querySelector("#records");
  for (const record of records ? JSON.parse(records.textContent) : []) feed.setpoints.set(record.id, newer(feed.setpoints.get(record.id), record));
  for (const form of scope.querySelectorAll("[data-setpoint]")) {
    form.dataset.wish = crypto.randomUUID();
    form.addEventListener("input", () => showForm(form, feed));
    form.addEventListener("keydown", (event) => takeBack(form, feed, event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (live && !form.querySelector("[data-send]").disabled) send(form, feed);
    });
  }
}

export function firstField(scope) {
  const form = scope.querySelector("[data-setpoint]");
  return form?.querySelector("[name=direction]:checked") ?? form?.elements.value ?? null;
}

export function showForms(scope, feed) {
  for (const form of scope.querySelectorAll("[data-setpoint]")) showForm(form, feed);
}

// "Held, priority 3, until 15:00, by" and who.
export function heldWords(record) {
  const until = clockAt(Date.parse(record.valid_until));
  return [fill(words.setpoint.held, record.priority, until), record.requested_by];
}

// "ends in 4 min 12 s, then 0 W is written": by the server's clock, as the frames brought it.
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
  const key = mine.slice(0, LAST).map(({ id, state, active }) => `${id}${state}${active}`).join() + live;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("li").dataset.setpointId : "";
  list.replaceChildren(...mine.slice(0, LAST).map((record) => item(record, list, feed)));
  if (focused) list.querySelector(`[data-setpoint-id="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
  if (!mine.length) { const empty = document.createElement("li"); empty.className = "hint"; const why = document.createElement("span"); why.className = "why"; why.textContent = words.setpoint.none; empty.append(why); list.append(empty); }
}

function item(record, list, feed) {
  const row = document.createElement("li"), parts = [];
  row.dataset.setpointId = record.id;
  row.dataset.state = record.state;
  const part = (name, words_) => { const element = document.createElement("span"); element.className = name; element.textContent = words_; parts.push(element); return element; };
  const at = part("at", clockAt(Date.parse(record.received_at), pageZone, { second: "2-digit" }));
  parts[0] = Object.assign(document.createElement("a"), { className: "at link", href: `/setpoints/${record.id}/`, textContent: at.textContent });
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
