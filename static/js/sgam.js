// The SGAM page: the state of every link, live; the rest is drawn by the server.
import { fill, words } from "./quantities.js";
import { Feed } from "./live.js";
import { coverLost, text } from "./show.js";

const work = document.querySelector("[data-pilot]"), feed = new Feed(`${work.dataset.pilot}/links`), line = document.querySelector("[data-counts]");
const ORDER = ["down", "degraded", "unknown", "up"];

function show() {
  const all = [...feed.links.values()].map((link) => link.state), count = (state) => all.filter((each) => each === state).length;
  text(line, fill(words.links.counts, count("up"), count("degraded"), count("down"), count("unknown")));
  for (const entry of work.querySelectorAll("[data-keys]")) {
    // A code holds no blank, so the keys of a group stand in one attribute.
    const states = entry.dataset.keys.split(" ").map((key) => feed.links.get(key)?.state ?? "unknown");
    const state = ORDER.find((each) => states.includes(each));
    entry.querySelector("[data-letter]").className = `letter ${state}`;
    text(entry.querySelector("[data-state]"), words.link[state]);
  }
}

document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());
feed.addEventListener("change", show);
for (const name of ["lost", "live", "tick"]) feed.addEventListener(name, () => coverLost([feed]));
