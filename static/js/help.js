// ? opens the topic of this page in a panel beside it; the alarm strip stays in sight above it.
const button = document.querySelector("[data-help]");
let panel = null, from = null;

const strip = document.querySelector("[data-alarmstrip]") ?? document.querySelector(".top");
const edge = (element) => Math.max(0, element?.getBoundingClientRect().bottom ?? 0);
export const isTyping = (target) => Boolean(target.closest?.("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]"));

// Where panel and tour may begin: under the strip, and what lies over the page under the band of a lost server too.
export function below(over = matchMedia("(max-width: 1180px)").matches) {
  const lost = document.querySelector("[data-lost]");
  // The strip stays while they are there, so the band sticks under it.
  if (lost) lost.style.top = document.body.matches(".helped, .touring") ? `${strip.offsetHeight}px` : "";
  const least = Math.max(edge(strip), over && lost && !lost.hidden ? edge(lost) : 0);
  if (panel) panel.style.top = `${least}px`;
  return least;
}

function paragraph(words) {
  const made = document.createElement("p");
  made.textContent = words;
  return made;
}

function make() {
  const made = document.createElement("aside"), close = document.createElement("button"), inside = document.createElement("div");
  made.className = "helppanel";
  made.id = "help-panel";
  made.tabIndex = -1;
  made.setAttribute("aria-label", button.getAttribute("aria-label"));
  Object.assign(close, { type: "button", className: "bare", textContent: "✕" });
  close.setAttribute("aria-label", button.dataset.close);
  close.addEventListener("click", shut);
  inside.setAttribute("aria-live", "polite");
  inside.append(paragraph(button.dataset.loading));
  made.append(close, inside);
  return made;
}

async function open() {
  from = document.activeElement;
  panel = make();
  document.body.append(panel);
  document.body.classList.add("helped");
  button.setAttribute("aria-expanded", "true");
  below();
  panel.focus({ preventScroll: true });
  await load(panel.lastElementChild);
}

async function load(inside) {
  const answer = await fetch(button.dataset.help, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) inside.replaceChildren(paragraph(button.dataset.ended));
  else if (!answer?.ok) inside.replaceChildren(paragraph(button.dataset.unheard));
  else inside.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
}

function shut() {
  const back = from?.isConnected && from !== document.body ? from : button;
  panel.remove();
  panel = null;
  document.body.classList.remove("helped");
  below();
  button.setAttribute("aria-expanded", "false");
  back.focus({ preventScroll: true });
}

const toggle = () => (panel ? shut() : open());

button.addEventListener("click", toggle);
// Before the page's own keys: what lies above is closed first.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "?") toggle();
  else if (event.key === "Escape" && panel) shut();
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);
for (const name of ["scroll", "resize", "liveness"]) (name === "liveness" ? document : window).addEventListener(name, () => { if (panel) below(); });
if (strip) new ResizeObserver(() => { if (panel) below(); }).observe(strip);
