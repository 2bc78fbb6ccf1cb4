// How far a set-point has come: four dots, each step with its seconds, and what became of it in words nobody overlooks.
import { duration, fill, words } from "./quantities.js";

const ORDER = ["received", "validated", "dispatched", "executed"];
const STOPPED = ["rejected", "failed", "expired", "cancelled"], WAITING = ["received", "validated", "dispatched", "unknown"];

export function steps(record) {
  const NS = "http://www.w3.org/2000/svg", svg = document.createElementNS(NS, "svg");
  const reached = Math.max(...record.events.map(({ state }) => ORDER.indexOf(state)), 0), stopped = STOPPED.includes(record.state);
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

export function sentence(record) {
  const said = words.setpoint, last = record.events.at(-1), first = record.events[0];
  if (record.state === "executed") {
    const sent = record.events.find(({ state }) => state === "dispatched") ?? first;
    const done = record.events.find(({ state }) => state === "executed") ?? last;
    const took = duration(Date.parse(done.at) - Date.parse(sent.at));
    return record.active ? fill(said.in, took) : fill(record.superseded_by ? said.replaced : said.over, took);
  }
  return said.state[record.state] ?? record.state;
}

export function made(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function step(record, name, index) {
  const event = record.events.find(({ state }) => state === name), begin = Date.parse(record.events[0].at);
  const when = event ? duration(Date.parse(event.at) - begin) : "–";
  const item = made("li", event ? "on" : "", words.setpoint.steps[index], " ", made("span", "", when));
  item.dataset.step = name;
  return item;
}

// Built anew only when the record has changed; the seconds since the last step count on beside it.
export function showProgress(place, record, feed) {
  if (!place) return;
  place.hidden = !record;
  if (!record) return;
  const key = `${record.id}${record.state}${record.active}${record.events.length}`;
  if (place.dataset.key !== key) {
    place.dataset.key = key;
    place.dataset.state = record.state;
    place.className = `progress wide${["rejected", "failed", "expired"].includes(record.state) ? " is-stopped" : ""}${record.state === "unknown" ? " is-unsure" : ""}`;
    const page = Object.assign(made("a", "link", words.setpoint.open), { href: `/setpoints/${record.id}/` });
    const since = made("span", "since");
    since.setAttribute("aria-hidden", "true");
    place.replaceChildren(
      made("p", "became", steps(record), made("b", "", sentence(record)), since),
      made("ol", "", ...ORDER.map((name, index) => step(record, name, index))),
      made("p", "why", ...(record.reason ? [`${record.reason} `] : []), page),
    );
  }
  const waiting = WAITING.includes(record.state), last = Date.parse(record.events.at(-1).at);
  place.querySelector(".since").textContent = waiting ? fill(words.setpoint.waiting, duration(feed.now() - last)) : "";
}
