// The tour: every step points at something of this page. It commands nothing, covers no alarm, and Esc ends it.
import { below, isTyping } from "./help.js";
import { fill } from "./quantities.js";

const offer = document.querySelector("[data-tour]"), start = offer.querySelector("[data-start]");
const FACEPLATE_MS = 4000, GAP = 10;
let steps = [], words = {}, at = 0, card = null;

const target = (step) => [...document.querySelectorAll(step.at)].find((each) => each.checkVisibility());

// Unasked the first device opens beside the diagram: the tour waits for it, not for ever.
function faceplate() {
  const face = document.querySelector("[data-face]");
  if (!face?.dataset.first || face.querySelector("h2") || !matchMedia("(min-width: 1181px)").matches) return null;
  return new Promise((done) => {
    const watch = new MutationObserver(() => { if (face.querySelector("h2")) finish(); });
    const finish = () => { watch.disconnect(); done(); };
    watch.observe(face, { childList: true, subtree: true });
    setTimeout(finish, FACEPLATE_MS);
  });
}

async function begin() {
  const answer = await fetch(offer.dataset.tour, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!answer?.ok) { offer.querySelector("p").textContent = offer.dataset.unheard; offer.hidden = false; return; }
  ({ steps, words } = await answer.json());
  await faceplate();
  // What this person does not see here has no step.
  steps = steps.filter(target);
  offer.hidden = true;
  document.body.classList.add("touring");
  go(0);
}

function go(wanted) {
  if (wanted < 0) return;
  if (wanted >= steps.length) { end(); return; }
  at = wanted;
  document.querySelector(".toured")?.classList.remove("toured");
  const place = target(steps[at]);
  place?.classList.add("toured");
  below();
  place?.scrollIntoView({ block: place.offsetHeight > innerHeight / 2 ? "start" : "center" });
  draw();
  stand();
  // A new card a step: who listens hears its name and its words.
  card.focus({ preventScroll: true });
}

function element(name, text, fields = {}) {
  return Object.assign(document.createElement(name), { textContent: text, ...fields });
}

function draw() {
  const { title, text } = steps[at], last = at === steps.length - 1, row = element("div", "", { className: "steps-row" });
  const made = element("section", "", { className: "tourcard", tabIndex: -1 });
  const next = element("button", last ? words.done : words.next, { type: "button", className: "primary", onclick: () => go(at + 1) });
  const back = element("button", words.back, { type: "button", disabled: at === 0, onclick: () => go(at - 1) });
  row.append(back, next, element("button", words.end, { type: "button", className: "bare", onclick: end, hidden: last }));
  made.append(
    element("p", fill(words.step, at + 1, steps.length), { className: "hint", id: "tour-step" }),
    element("h2", title, { id: "tour-title" }), element("p", text, { id: "tour-text" }), row, element("p", words.keys, { className: "hint" }),
  );
  made.setAttribute("role", "dialog");
  made.setAttribute("aria-labelledby", "tour-step tour-title");
  made.setAttribute("aria-describedby", "tour-text");
  card?.remove();
  card = made;
  document.body.append(card);
}

// Under what it points at, else above, never over the strip; on a phone the sheet stands at the foot.
function stand() {
  if (!card) return;
  const least = below(true), box = target(steps[at])?.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = card;
  const under = (box?.bottom ?? 0) + GAP, over = (box?.top ?? 0) - height - GAP;
  const top = under + height <= innerHeight ? under : over >= least ? over : innerHeight - height - GAP;
  card.style.left = `${Math.max(GAP, Math.min(box?.left ?? GAP, innerWidth - width - GAP))}px`;
  card.style.top = `${Math.max(least + GAP, top)}px`;
}

function end() {
  card?.remove();
  card = null;
  document.querySelector(".toured")?.classList.remove("toured");
  document.body.classList.remove("touring");
  below();
  fetch(offer.dataset.end, { method: "POST", redirect: "manual", headers: { "X-CSRFToken": offer.dataset.token } }).catch(() => null);
  const address = new URL(location);
  address.searchParams.delete("tour");
  history.replaceState(null, "", address);
  offer.remove();
  document.querySelector("[data-help]").focus({ preventScroll: true });
}

start.addEventListener("click", (event) => {
  // On another page the link leads to where the steps point.
  if (start.pathname !== location.pathname || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  begin();
});
offer.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); end(); });
document.addEventListener("keydown", (event) => {
  if (!card || event.ctrlKey || event.metaKey || event.altKey) return;
  const own = card.contains(event.target);
  if (event.key === "Escape" && !isTyping(event.target)) end();
  else if (own && event.key === "ArrowRight") go(at + 1);
  else if (own && event.key === "ArrowLeft") go(at - 1);
  else if (event.target === card && event.key === "Enter") go(at + 1);
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);
for (const name of ["scroll", "resize"]) addEventListener(name, stand);
// An alarm makes the strip taller, a lost server brings its band: the card makes room.
new ResizeObserver(stand).observe(document.querySelector("[data-alarmstrip]"));
document.addEventListener("liveness", stand);
if (offer.hasAttribute("data-now")) begin();
