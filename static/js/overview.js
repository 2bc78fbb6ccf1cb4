// The overview: one feed a pilot, one row a feed.
import { duration, fill, words } from "./quantities.js";
import { Feed } from "./live.js";
import { coverLost, showCharge, showSum, text } from "./show.js";

const rows = [...document.querySelectorAll("[data-pilot]")].map((row) => ({ row, feed: new Feed(row.dataset.pilot) }));
const feeds = rows.map(({ feed }) => feed);

function show({ row, feed }) {
  if (!feed.live) return;
  row.querySelectorAll("[data-sum]").forEach((element) => showSum(element, feed));
  row.querySelectorAll("[data-charge]").forEach((element) => showCharge(element, feed));
  const { good, all, newest } = feed.counts();
  text(row.querySelector("[data-newest]"), all ? duration(newest) : "–");
  text(row.querySelector("[data-points]"), fill(words.stateShort, good, all));
  showLetters(row, feed);
}

function showLetters(row, feed) {
  const troubled = [];
  for (const element of row.querySelectorAll("[data-letter-all]")) {
    const keys = [...feed.links.keys()].filter((key) => key.startsWith(`${element.dataset.letterAll}|`));
    const { state } = feed.linkState(keys.join(" "));
    element.className = `letter ${state}`;
    element.title = words.link[state];
    if (state !== "up") troubled.push([element.textContent, words.link[state]]);
  }
  const said = Object.entries(Object.groupBy ? Object.groupBy(troubled, ([, word]) => word) : {});
  text(row.querySelector("[data-linkline]"), said.length ? said.map(([word, hits]) => `${hits.map(([letter]) => letter).join(" ")} ${word}`).join(", ") : words.allUp);
}

for (const each of rows) {
  for (const name of ["change", "live"]) each.feed.addEventListener(name, () => { each.dirty = true; });
  each.feed.addEventListener("lost", () => coverLost(feeds));
}
setInterval(() => {
  // Numbers change at most twice a second: more cannot be read.
  rows.forEach((each) => { show(each); each.dirty = false; });
  if (feeds.length) coverLost(feeds);
}, 500);
document.querySelector("[data-retry]")?.addEventListener("click", () => feeds.forEach((feed) => { if (!feed.live) feed.retry(); }));
