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
  for (const line of work.querySelectorAll("[data-line]")) showLine(line, line.dataset.line.split(" "));
}

// A line stands for several links: it shows the worst, says how many are so, and leads to the first of them.
function showLine(line, keys) {
  const states = keys.map((key) => feed.links.get(key)?.state ?? "unknown"), state = ORDER.find((each) => states.includes(each));
  const same = states.filter((each) => each === state).length;
  const told = same < keys.length ? fill(words.links.some, same, keys.length, words.link[state]) : words.link[state];
  line.setAttribute("href", line.getAttribute("href").replace(/link=.*/, `link=${encodeURIComponent(keys[states.indexOf(state)])}`));
  for (const part of line.querySelectorAll(".wire, .chip, .word")) part.setAttribute("class", `${part.classList[0]} ${state}`);
  const label = line.querySelector("[data-label]");
  if (!label) return;
  text(label, state === "up" ? label.dataset.label : told);
  text(line.querySelector("title"), `${line.dataset.told}: ${told}`);
}

document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());
feed.addEventListener("change", show);
for (const name of ["lost", "live", "tick"]) feed.addEventListener(name, () => coverLost([feed]));
