// One group set-point: what the server tells of it anew at every change, what each device does now, the countdown each second.
import { words } from "./quantities.js";
import { showCountdowns } from "./countdown.js";
import { Feed } from "./live.js";
import { coverLost, showSum, showValue, text } from "./show.js";

const EVERY_MS = 5000;
const place = document.querySelector("[data-told]"), { id, pilot } = place.dataset, feed = new Feed(pilot);
let asking = false, dirty = false, asked = 0;

const over = () => ["aborted", "ended"].includes(place.querySelector("[data-part=head]").dataset.state);

// Part by part, so that the keyboard keeps its place and what somebody is typing stays.
function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of place.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part=${part.dataset.part}]`), mine = part.contains(document.activeElement), typed = part.querySelector("[name=reason]")?.value;
    if (!next) continue;
    const link = mine ? document.activeElement.getAttribute("href") : null, field = mine ? document.activeElement.name : "";
    part.replaceWith(next);
    const input = next.querySelector("[name=reason]");
    if (input && typed) input.value = typed;
    if (mine) ((link && next.querySelector(`a[href="${CSS.escape(link)}"]`)) || (field && next.querySelector(`[name="${field}"]`)) || next.querySelector("button, a") || next).focus({ preventScroll: true });
  }
}

async function ask() {
  if ((!dirty && (over() || performance.now() - asked < EVERY_MS)) || asking || document.hidden) return;
  dirty = false;
  asking = true;
  asked = performance.now();
  const answer = await fetch(place.dataset.told, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) location.reload();
  else if (answer?.ok) take(await answer.text());
  else dirty = true;
  asking = false;
  show();
}

function show() {
  for (const element of place.querySelectorAll("[data-ref]")) showValue(element, feed.read(element.dataset.ref));
  for (const element of place.querySelectorAll("[data-sum]")) showSum(element, feed);
  showCountdowns(place, feed);
  for (const button of place.querySelectorAll("[data-needs-live]")) button.disabled = !feed.live;
  text(document.querySelector("[data-state-live]"), feed.live ? words.live : words.connecting);
}

feed.addEventListener("change", ({ detail }) => {
  if (detail.whole || detail.guards || detail.setpoints.some((record) => record.group_id === id)) { dirty = true; ask(); }
  else if (detail.points.length) show();
});
for (const name of ["live", "lost"]) feed.addEventListener(name, () => { show(); coverLost([feed]); });
document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());
setInterval(() => { ask(); show(); coverLost([feed]); }, 1000);
