// Commissioning: one address, read live, written after a confirmation, saved as a point.
import { MISSING, duration, fill, grouped, words } from "./quantities.js";
import { clockAt, pageZone, zoneLabel } from "./time_zones.js";

const page = document.querySelector("[data-commissioning]"), said = words.commissioning, REPEAT_MS = 2000;
const part = (name, inside = page) => inside.querySelector(`[data-${name}]`);
const form = part("form"), refused = part("refused"), note = part("said");
const known = JSON.parse(document.getElementById("known").textContent);
let repeat = null, armed = null;

const clock = () => `${clockAt(Date.now(), pageZone, { second: "2-digit" })} ${zoneLabel(Date.now())}`;
const moment = new Intl.DateTimeFormat("en-GB", { timeZone: pageZone, day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const number = (text) => { const value = Number(String(text).trim().replace("−", "-").replace(",", ".")); return String(text).trim() === "" ? null : Number.isFinite(value) ? value : text; };
const family = () => [...form.querySelectorAll("[data-protocols]")].find((each) => !each.hidden);

function chooseFamily() {
  const protocol = part("device").selectedOptions[0].dataset.protocol;
  for (const each of form.querySelectorAll("[data-protocols]")) each.hidden = !each.dataset.protocols.split(" ").includes(protocol);
  part("offers").hidden = true;
  part("browsing").hidden = !("browses" in family().dataset);
  const names = Object.keys(known[part("device").value] ?? {});
  part("known").replaceChildren(part("known").options[0], ...names.map((name) => new Option(name)));
  part("known").value = "";
  disarm();
}

// The form as a configured point is read; what its address does not name stands at its default.
function fillFrom({ address, ...rest }) {
  for (const field of family().querySelectorAll("[data-part]")) {
    const value = address[field.dataset.part];
    if (value !== undefined) field.value = String(value);
    else if (field.tagName === "SELECT") field.selectedIndex = 0;
    else field.value = "";
  }
  for (const [name, value] of Object.entries(rest)) form.elements[name].value = String(value);
  showLimits();
}

// What an address is called on the page: its parts, without those that are as usual.
function spoken({ device, address }) {
  const usual = (key) => { const field = family().querySelector(`[data-part="${key}"]`); return field?.tagName === "SELECT" && field.selectedIndex === 0 && key !== "fc"; };
  return [device, ...Object.entries(address).filter(([key]) => !usual(key)).map(([, value]) => value)].join(" ");
}

function written(value) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "number") return String(value);
  const text = String(Number(value.toPrecision(8)));
  return text.includes("e") ? text.replace("-", "−") : grouped(text).replace("-", "−");
}

function question() {
  const address = {};
  for (const field of family().querySelectorAll("[data-part]")) if (field.value !== "") address[field.dataset.part] = field.inputMode === "numeric" ? number(field.value) : field.value;
  const read = (name) => form.elements[name].value;
  return { device: read("device"), address, kind: read("kind"), unit: read("unit"), scale: number(read("scale")), offset: number(read("offset")), sign: Number(read("sign")) };
}

function refuse(words) {
  refused.hidden = !words;
  refused.textContent = words;
}

async function ask(url, body) {
  refuse("");
  const started = performance.now(), counting = setInterval(() => { note.textContent = fill(said.asking, duration(performance.now() - started)); }, 1000);
  const headers = { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => null);
  clearInterval(counting);
  note.textContent = "";
  const told = answer ? await answer.json().catch(() => null) : null;
  if (answer?.ok && told) return told;
  refuse(!answer ? said.offline : `${told?.field ? `${told.field}: ` : ""}${told?.reason ?? answer.statusText}`);
  return null;
}

async function read() {
  const asked = question(), answer = await ask(page.dataset.read, asked);
  part("shown").classList.toggle("is-old", !answer);
  if (!answer) { stop(); return; }
  part("where").textContent = spoken(asked);
  part("when").textContent = fill(said.read, clock());
  part("value").textContent = written(answer.value) ?? said.missing;
  part("shown-unit").textContent = answer.unit ?? "";
  part("wire").textContent = written(answer.wire) ?? MISSING;
  part("raw").textContent = answer.raw;
  part("quality").textContent = [answer.quality.validity, answer.quality.source, ...answer.quality.flags].join(", ");
  part("source").textContent = answer.source_time ? moment.format(new Date(answer.source_time)) : MISSING;
}

function stop() {
  clearInterval(repeat);
  repeat = null;
  part("repeat").setAttribute("aria-pressed", "false");
  part("repeat").textContent = said.again;
}

function disarm() {
  armed = null;
  part("confirm").hidden = true;
  part("write-button").textContent = said.write;
  part("write-button").classList.remove("primary");
}

async function write() {
  const asked = { ...question(), value: number(part("write-form").elements.value.value) }, key = JSON.stringify(asked);
  if (asked.value === null) { refuse(said.noValue); part("write-form").elements.value.focus(); return; }
  refuse("");
  if (armed !== key) {
    armed = key;
    const what = `${asked.value ?? ""} ${asked.unit}`.trim();
    part("confirm").textContent = fill(said.confirm, what, spoken(asked));
    part("confirm").hidden = false;
    part("write-button").textContent = fill(said.really, what);
    part("write-button").classList.add("primary");
    return;
  }
  disarm();
  const answer = await ask(page.dataset.write, asked);
  if (answer) { note.textContent = fill(said.written, clock(), answer.raw); await read(); note.textContent = fill(said.written, clock(), answer.raw); }
}

async function save() {
  const fields = part("save-form").elements, own = question();
  const answer = await ask(page.dataset.save, { ...own, name: fields.name.value.trim(), period_s: number(fields.period_s.value), minimum: number(fields.minimum.value), maximum: number(fields.maximum.value) });
  if (!answer) return;
  const trend = document.createElement("a");
  trend.href = `${page.dataset.trends}?points=${encodeURIComponent(answer.point)}`;
  trend.className = "link";
  trend.textContent = said.trend;
  note.replaceChildren(`${fill(said.saved, answer.point)} `, trend);
}

async function browse() {
  const answer = await ask(page.dataset.browse, { device: form.elements.device.value }), list = part("offers");
  if (!answer) return;
  const offers = Array.isArray(answer.offers) ? answer.offers : [];
  list.hidden = false;
  list.replaceChildren(...offers.slice(0, 2000).map(offer));
  if (!offers.length) list.textContent = said.nothing;
}

function offer(each) {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.className = "bare link";
  button.textContent = typeof each === "string" ? each : [each.ref, each.fc ? `[${each.fc}]` : "", each.type ?? ""].join(" ").trim();
  button.addEventListener("click", () => {
    for (const [key, value] of Object.entries(typeof each === "string" ? { ref: each } : each)) {
      const field = family().querySelector(`[data-part="${key}"]`);
      if (field) field.value = value;
    }
    read();
  });
  item.append(button);
  return item;
}

part("device").addEventListener("change", chooseFamily);
form.addEventListener("submit", (event) => { event.preventDefault(); read(); });
form.addEventListener("input", disarm);
function showLimits() {
  for (const field of page.querySelectorAll("[data-limits]")) field.hidden = form.elements.kind.value !== "setpoint";
}
form.elements.kind.addEventListener("change", showLimits);
part("known").addEventListener("change", (event) => {
  const point = known[part("device").value][event.target.value];
  if (point) { fillFrom(point); disarm(); read(); }
});
part("read-button").addEventListener("click", read);
part("browse-button").addEventListener("click", browse);
part("repeat").addEventListener("click", (event) => {
  if (repeat) { stop(); return; }
  repeat = setInterval(read, REPEAT_MS);
  event.target.setAttribute("aria-pressed", "true");
  event.target.textContent = said.stop;
  read();
});
part("write-form").addEventListener("submit", (event) => { event.preventDefault(); write(); });
part("save-form").addEventListener("submit", (event) => { event.preventDefault(); save(); });
chooseFamily();
