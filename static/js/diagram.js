// What one does with the picture: find a device, zoom and pan, choose layers, read it as a table, take it along.
import { fill } from "./quantities.js";
import { savePicture, stampOf } from "./picture.js";

const picture = document.querySelector(".picture"), scroller = document.querySelector(".scroller"), paper = scroller?.querySelector(".paper");
const SMALLEST = 0.3, LARGEST = 3, STEP = 1.25;
let zoom = 1;

// Zoomed about a point of the screen: what stands there stays there.
function zoomTo(wanted, x = scroller.clientWidth / 2, y = scroller.clientHeight / 2) {
  const next = Math.min(LARGEST, Math.max(SMALLEST, wanted)), left = (scroller.scrollLeft + x) / zoom, top = (scroller.scrollTop + y) / zoom;
  zoom = next;
  paper.style.zoom = String(zoom);
  // Far away only what can still be read stays: first ages and words go, then values.
  paper.classList.toggle("far", zoom < 0.6);
  paper.classList.toggle("farther", zoom < 0.4);
  document.querySelector("[data-zoomed]").textContent = `${Math.round(zoom * 100)} %`;
  scroller.scrollTo(left * zoom - x, top * zoom - y);
}

function fit() {
  const svg = paper.querySelector(".diagram");
  zoomTo(Math.min(1, (scroller.clientWidth - 16) / svg.width.baseVal.value), 0, 0);
}

function steps(name) {
  if (name === "fit") fit();
  else zoomTo(name === "in" ? zoom * STEP : zoom / STEP);
}

function wheel(event) {
  // With Ctrl, or two fingers on a touch pad, which browsers tell alike; without, the page scrolls.
  if (!event.ctrlKey) return;
  event.preventDefault();
  const { left, top } = scroller.getBoundingClientRect();
  zoomTo(zoom * Math.exp(-event.deltaY / 300), event.clientX - left, event.clientY - top);
}

// One pointer on the bare ground pans, two on glass pinch.
const pointers = new Map();
let span = 0;
function down(event) {
  if (event.pointerType === "mouse" && (event.button !== 0 || event.target.closest(".device"))) return;
  pointers.set(event.pointerId, event);
  if (pointers.size === 2) span = distance();
}

function distance() {
  const [one, other] = [...pointers.values()];
  return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
}

function move(event) {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  pointers.set(event.pointerId, event);
  if (pointers.size === 2) {
    const now = distance(), { left, top } = scroller.getBoundingClientRect(), [one, other] = [...pointers.values()];
    if (span) zoomTo(zoom * now / span, (one.clientX + other.clientX) / 2 - left, (one.clientY + other.clientY) / 2 - top);
    span = now;
  } else if (event.pointerType === "mouse") {
    scroller.scrollBy(before.clientX - event.clientX, before.clientY - event.clientY);
  }
}

function up(event) { pointers.delete(event.pointerId); span = 0; }

// Search: by id, name or kind; Enter goes on to the next one found.
const field = document.querySelector("[data-find]"), told = document.querySelector("[data-found]");
let at = -1;
const labels = () => [...paper.querySelectorAll(".device")];
function listDevices() {
  document.getElementById("found").replaceChildren(...labels().map((device) => new Option(device.dataset.label, device.dataset.device)));
}

function matches() {
  const wanted = field.value.trim().toLocaleLowerCase();
  if (!wanted) return [];
  const exact = labels().filter((device) => device.dataset.device.toLocaleLowerCase() === wanted);
  return exact.length ? exact : labels().filter((device) => device.dataset.label.toLocaleLowerCase().includes(wanted));
}

function tell() {
  const found = matches();
  told.textContent = !field.value.trim() ? "" : found.length ? fill(told.dataset.some, Math.max(at, 0) + 1, found.length, found[Math.max(at, 0)]?.dataset.device ?? "") : told.dataset.none;
}

async function goOn() {
  const found = matches();
  if (!found.length) { tell(); return; }
  at = (at + 1) % found.length;
  tell();
  if (wished === "table") await view(ground());
  const place = deviceIn(views[wished], found[at].dataset.device) ?? found[at];
  place.focus();
  place.scrollIntoView({ block: "center", inline: "center" });
}

// What stands in the frame: the picture, or the same devices as a table; on a phone, unasked, as a ladder.
const narrow = matchMedia("(max-width: 640px)"), ground = () => (narrow.matches ? "ladder" : "picture");
const views = Object.fromEntries([...picture.querySelectorAll("[data-view]")].map((part) => [part.dataset.view, part]));
let wished = "picture";
async function view(name) {
  const part = views[wished = name];
  if (part.dataset.part && !part.firstElementChild) {
    const answer = await fetch(part.dataset.part, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer?.redirected) { location.reload(); return; }
    const rows = answer?.ok ? await answer.text() : "";
    if (wished !== name) return;
    if (!rows) { view("picture"); return; }
    part.innerHTML = rows;
  }
  for (const each of Object.values(views)) each.hidden = each !== part;
  picture.dataset.shown = name;
  for (const button of picture.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", String(button.dataset.show === name));
  document.dispatchEvent(new CustomEvent("view"));
}

// The rows of a new configuration; who stood on one stands there again.
async function renewRows() {
  const focused = document.activeElement?.closest(".ladder .device")?.dataset.device;
  for (const part of Object.values(views)) if (part.dataset.part) part.replaceChildren();
  await view(wished);
  if (focused) deviceIn(views[wished], focused)?.focus();
}

const deviceIn = (part, id) => part.querySelector(`.device[data-device="${CSS.escape(id)}"]`);

function layer(button) {
  const shown = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(shown));
  paper.classList.toggle(`no-${button.dataset.layer}`, !shown);
}

function keys(event) {
  const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); field.focus(); field.select(); }
  else if (event.key === "+" || event.key === "=") zoomTo(zoom * STEP);
  else if (event.key === "-") zoomTo(zoom / STEP);
  else if (event.key === "0") zoomTo(1, 0, 0);
}

function printed() {
  document.querySelector("[data-stamp]").textContent = stampOf();
}

if (paper) {
  listDevices();
  document.addEventListener("redrawn", () => { listDevices(); renewRows(); });
  document.addEventListener("keydown", keys);
  scroller.addEventListener("wheel", wheel, { passive: false });
  scroller.addEventListener("pointerdown", down);
  for (const [name, react] of [["pointermove", move], ["pointerup", up], ["pointercancel", up]]) addEventListener(name, react);
  field.addEventListener("input", () => { at = -1; tell(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); goOn(); }
    if (event.key === "Escape") { field.value = ""; tell(); views[wished].focus(); }
  });
  picture.addEventListener("click", ({ target }) => {
    const button = target.closest(".tools button");
    if (!button) return;
    if (button.dataset.zoom) steps(button.dataset.zoom);
    else if (button.dataset.layer) layer(button);
    else if (button.dataset.save) savePicture(button.dataset.save);
    else if (button.hasAttribute("data-print")) print();
    else if (button.dataset.show) view(button.dataset.show === wished ? ground() : button.dataset.show);
  });
  addEventListener("beforeprint", printed);
  narrow.addEventListener("change", () => { if (wished !== "table") view(ground()); });
  const first = new URLSearchParams(location.search).get("view") === "table" ? "table" : ground();
  if (first !== wished) view(first);
}
