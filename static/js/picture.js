// The diagram as a file that needs nothing else: styles inside, and in words what it shows and as of when.
import { fill } from "./quantities.js";
import { pageZone, zoneLabel } from "./time_zones.js";

const NAMESPACE = "http://www.w3.org/2000/svg", HEAD = 34;
// The rules that the picture's classes meet; tokens become their values, since a file has no page around it.
const SHEETS = ["/diagram.", "/alarms."];

export function stampOf() {
  const place = document.querySelector("[data-stamp]").dataset, detail = {};
  document.dispatchEvent(new CustomEvent("stamp", { detail }));
  const then = detail.live ? detail.now : detail.heard;
  const moment = new Intl.DateTimeFormat("en-GB", { timeZone: pageZone, dateStyle: "medium", timeStyle: "medium" }).format(then);
  const simulated = document.querySelector(".sim") ? " · SIM" : "";
  return fill(detail.live ? place.live : place.lost, place.name, `${moment} ${zoneLabel(then)}`) + simulated;
}

// Style sheets come by the page's own one too, which imports them.
function sheets(from) {
  return [...from].flatMap((sheet) => [sheet, ...sheets([...sheet.cssRules].filter((rule) => rule instanceof CSSImportRule).map((rule) => rule.styleSheet))]);
}

function rules() {
  const found = sheets(document.styleSheets).filter((sheet) => SHEETS.some((name) => sheet.href?.includes(name)))
    .flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule instanceof CSSStyleRule);
  const set = getComputedStyle(document.documentElement);
  return found.map((rule) => rule.cssText.replaceAll(".not-live .diagram", ".diagram.not-live")).join("\n")
    .replace(/var\((--[\w-]+)\)/g, (_, name) => set.getPropertyValue(name).trim());
}

function element(name, attributes, content = "") {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = content;
  return made;
}

function file() {
  const copy = document.querySelector(".diagram").cloneNode(true), [, , width, height] = copy.getAttribute("viewBox").split(" ").map(Number);
  copy.setAttribute("viewBox", `0 ${-HEAD} ${width} ${height + HEAD}`);
  copy.setAttribute("height", String(height + HEAD));
  copy.querySelectorAll("[tabindex]").forEach((each) => { each.removeAttribute("tabindex"); each.setAttribute("aria-pressed", "false"); });
  const ground = getComputedStyle(document.documentElement).getPropertyValue("--ground").trim();
  copy.prepend(element("style", {}, rules()), element("rect", { x: 0, y: -HEAD, width, height: height + HEAD, fill: ground }), element("text", { x: 12, y: -12, class: "strong" }, stampOf()));
  copy.setAttribute("xmlns", NAMESPACE);
  copy.classList.toggle("not-live", document.body.classList.contains("not-live"));
  return { text: new XMLSerializer().serializeToString(copy), width, height: height + HEAD };
}

function give(href, ending) {
  const link = document.createElement("a"), stamp = new Date().toISOString().replace(/[:.]\d*Z?$/g, "").replace(/:/g, "");
  link.href = href;
  link.download = `${document.querySelector("[data-pilot]").dataset.pilot}-${stamp}Z.${ending}`;
  link.click();
  if (href.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

export async function savePicture(ending) {
  const { text, width, height } = file();
  if (ending === "svg") { give(URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })), "svg"); return; }
  const image = new Image(), canvas = document.createElement("canvas");
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  [canvas.width, canvas.height] = [width * 2, height * 2];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => give(URL.createObjectURL(blob), "png"), "image/png");
}
