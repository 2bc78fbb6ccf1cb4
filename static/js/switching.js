// Switching from the faceplate: select, look, operate or cancel. Nothing clicked here is ever sent later.
import { countDown, sendForm, tell } from "./stepup.js";

const POLL_MS = 2000;
let live = false;

document.addEventListener("liveness", (event) => {
  live = event.detail;
  if (!live) for (const button of document.querySelectorAll("[data-select] button, [data-step] button")) button.disabled = true;
});

export function openSwitching(scope, feed) {
  const section = scope.querySelector("[data-switching]");
  if (!section) return;
  const chosen = section.querySelector("[data-chosen]");
  section.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-select]")) { event.preventDefault(); select(section, chosen, form, event.submitter, feed); }
    else if (form.matches("[data-step]")) { event.preventDefault(); step(section, chosen, form, feed); }
  });
  chosen.addEventListener("over", () => end(chosen));
  const timer = setInterval(() => { if (section.isConnected) countDown(chosen); else clearInterval(timer); }, 250);
}

export function showSwitching(scope, feed) {
  const section = scope.querySelector("[data-switching]");
  if (!section) return;
  const closed = !live || section.dataset.busy === "1" || feed.blocked(section.dataset.device) !== "";
  for (const button of section.querySelectorAll("[data-select] button, [data-step] button")) {
    const over = button.closest("[data-ended]") || (button.hasAttribute("data-never"));
    button.disabled = Boolean(closed || over);
  }
}

async function select(section, chosen, form, button, feed) {
  if (!live) return;
  const body = new FormData(form, button);
  form.querySelector("[data-refused]").hidden = true;
  chosen.replaceChildren();
  await busy(section, feed, async () => {
    const answer = await sendForm(form.action, body, chosen, section);
    if (!answer.ok) { tell(form, answer, section.dataset.unsent); return; }
    await show(section, chosen, answer.body.id, feed);
    chosen.querySelector("[data-selection]")?.focus();
  });
}

async function show(section, chosen, id, feed) {
  const answer = await fetch(`${section.dataset.selections}${id}/`, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  chosen.innerHTML = await answer.text();
  countDown(chosen);
  showSwitching(section.parentElement, feed);
  if (chosen.querySelector("[data-state=awaiting_approval]")) setTimeout(() => again(section, chosen, id, feed), POLL_MS);
}

// The second person's answer: asked for again while it is awaited and still on the page.
async function again(section, chosen, id, feed) {
  if (chosen.isConnected && chosen.querySelector(`[data-selection="${id}"][data-state=awaiting_approval]`)) await show(section, chosen, id, feed);
}

async function step(section, chosen, form, feed) {
  if (!live) return;
  const kind = form.dataset.step, id = form.closest("[data-selection]").dataset.selection, password = document.createElement("div");
  form.closest("[data-selection]").append(password);
  await busy(section, feed, async () => {
    const answer = await sendForm(form.action, new FormData(form), password, section);
    const record = kind === "operate" ? (answer.ok ? answer.body : answer.body?.record) : null;
    if (record) { feed.setpoints.set(record.id, record); feed.emit("change", { points: [], links: [], setpoints: [record], guards: false, whole: false }); }
    if (!answer.ok) { tell(form, answer, section.dataset.unsent); return; }
    if (kind === "approval") await show(section, chosen, id, feed);
    else { chosen.replaceChildren(); for (const each of section.querySelectorAll("[data-select]")) each.reset(); }
  });
}

async function busy(section, feed, work) {
  section.dataset.busy = "1";
  showSwitching(section.parentElement, feed);
  await work();
  section.dataset.busy = "";
  showSwitching(section.parentElement, feed);
}

function end(chosen) {
  const box = chosen.querySelector("[data-selection]");
  if (!box || box.hasAttribute("data-ended") || box.dataset.state === "awaiting_approval") return;
  box.setAttribute("data-ended", "");
  box.querySelector("[data-over]").hidden = false;
  for (const button of box.querySelectorAll("button")) button.disabled = true;
}
