// The handbook: what is typed leaves the topics that have all its words.
import { fill } from "./quantities.js";

const field = document.querySelector("[data-handbook-find]"), found = document.querySelector("[data-handbook-found]");
const topics = [...document.querySelectorAll("[data-topic]")];
const texts = new Map(topics.map((topic) => [topic, topic.textContent.toLocaleLowerCase()]));

function filter() {
  const wanted = field.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const topic of topics) {
    topic.hidden = !wanted.every((word) => texts.get(topic).includes(word));
    document.querySelector(`[data-entry="${topic.id}"]`).hidden = topic.hidden;
    count += Number(!topic.hidden);
  }
  for (const group of document.querySelectorAll("[data-group]")) group.hidden = !group.querySelector("li:not([hidden])");
  found.textContent = !wanted.length ? "" : count ? fill(found.dataset.some, count, topics.length) : found.dataset.none;
}

field.addEventListener("input", filter);
field.addEventListener("keydown", (event) => { if (event.key === "Escape") { field.value = ""; filter(); } });
document.addEventListener("keydown", (event) => {
  if (event.target === field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); field.focus(); field.select(); }
});
filter();
