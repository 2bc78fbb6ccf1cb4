// A dashboard: one feed a pilot, each tile shows its value, its age and, where it has one, its hour.
import { duration } from "./quantities.js";
import { Feed } from "./live.js";
import { openMini, showMini } from "./mini_trend.js";
import { coverLost, showValue, text } from "./show.js";

const board = document.querySelector("[data-feeds]");
const feeds = new Map((board?.dataset.feeds ?? "").split(" ").filter(Boolean).map((code) => [code, new Feed(code)]));
const tiles = [...document.querySelectorAll("[data-tile]")];

function show(tile) {
  const feed = feeds.get(tile.dataset.tile);
  if (!feed?.live) return;
  const value = tile.querySelector("[data-ref]"), age = tile.querySelector("[data-age]"), point = feed.read(value.dataset.ref);
  showValue(value, point);
  text(age, point ? duration(point.age) : "");
  showMini(tile, feed);
}

tiles.forEach(openMini);
if (feeds.size) {
  const all = [...feeds.values()];
  for (const feed of all) feed.addEventListener("lost", () => coverLost(all));
  setInterval(() => { tiles.forEach(show); coverLost(all); }, 500);
  document.querySelector("[data-retry]").addEventListener("click", () => all.forEach((feed) => { if (!feed.live) feed.retry(); }));
}
