// The small trend of a faceplate: an hour of the measurement and of what was wished, begun by the server, gone on by the frames.
import { quantity } from "./quantities.js";
import { text } from "./show.js";
import { clockAt, zoneLabel } from "./time_zones.js";

const HOUR = 3600000, WIDTH = 300, HEIGHT = 60, ROOM = 3;

export function openMini(scope) {
  const mini = scope.querySelector("[data-mini]");
  if (!mini) return;
  const { values, wishes } = JSON.parse(mini.querySelector("script").textContent);
  mini.values = values;
  mini.wishes = new Map(wishes.map(([id, from, to, value]) => [id, { from, to, value }]));
}

function follow(mini, feed) {
  const point = feed.read(mini.dataset.mini), now = feed.now(), device = mini.dataset.mini.split("/")[0];
  if (point && point.received > (mini.values.at(-1)?.[0] ?? 0)) mini.values.push([point.received, point.good ? point.value : null]);
  while (mini.values.length > 1 && mini.values[1][0] < now - HOUR) mini.values.shift();
  for (const record of feed.setpoints.values()) {
    if (record.device !== device || record.point !== mini.dataset.point) continue;
    const sent = record.events.find(({ state }) => state === "dispatched"), goes = record.active || record.state === "dispatched";
    const kept = mini.wishes.get(record.id);
    if (!kept && sent && goes) mini.wishes.set(record.id, { from: Date.parse(sent.at), to: null, value: record.value });
    else if (kept && kept.to === null && !goes && record.state !== "validated" && record.state !== "unknown") kept.to = now;
  }
}

export function showMini(scope, feed) {
  const mini = scope.querySelector("[data-mini]");
  if (!mini?.values) return;
  follow(mini, feed);
  const end = feed.now(), begin = end - HOUR, { unit, zone } = mini.dataset;
  const wishes = [...mini.wishes.values()].filter(({ to }) => to === null || to > begin);
  const all = [0, ...mini.values.map(([, value]) => value).filter((value) => value !== null), ...wishes.map(({ value }) => value)];
  const low = Math.min(...all), high = Math.max(...all, low + 1);
  const x = (ms) => (Math.max(0, (Math.min(ms, end) - begin) / HOUR) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - ROOM - ((value - low) / (high - low)) * (HEIGHT - 2 * ROOM)).toFixed(1);
  // A sample holds until the next; none cuts the line.
  const parts = mini.values.map(([ms, value], n) => (value === null ? "" : `${n && mini.values[n - 1][1] !== null ? "V" : `M${x(ms)} `}${y(value)}H${x(mini.values[n + 1]?.[0] ?? end)}`));
  mini.querySelector(".measured").setAttribute("d", parts.join(""));
  mini.querySelector(".wished").setAttribute("d", wishes.map(({ from, to, value }) => `M${x(from)} ${y(value)}H${x(to ?? end)}`).join(""));
  mini.querySelector(".zero").setAttribute("d", `M0 ${y(0)}H${WIDTH}`);
  text(mini.querySelector("[data-top]"), quantity(high, unit));
  text(mini.querySelector("[data-bottom]"), quantity(low, unit));
  text(mini.querySelector("[data-start]"), clockAt(begin, zone));
  text(mini.querySelector("[data-end]"), `${clockAt(end, zone)} ${zoneLabel(end, zone)}`);
}
