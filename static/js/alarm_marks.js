// The mark of its most urgent alarm on each device of the diagram: shape, figure and, while nobody has seen it, a ring.
const NAMESPACE = "http://www.w3.org/2000/svg", picture = document.querySelector("[data-alarm-marks]");
const SHAPES = {
  1: ["rect", { x: -8, y: -8, width: 16, height: 16 }, { x: -11, y: -11, width: 22, height: 22 }, 4.2],
  2: ["path", { d: "M0-9.5 10 8H-10Z" }, { d: "M0-14.5 14.5 10.6H-14.5Z" }, 5.6],
  3: ["path", { d: "M0 9.5 10-8H-10Z" }, { d: "M0 14.5 14.5-10.6H-14.5Z" }, 2.6],
  4: ["circle", { r: 8.7 }, { r: 12 }, 4.2],
};

function drawn(name, attributes, content = "") {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = content;
  return element;
}

function mark(device, [priority, state]) {
  const [shape, body, ring, baseline] = SHAPES[priority], isNew = state !== "acknowledged";
  const face = state === "unacknowledged" ? "unack" : state === "returned" ? "returned" : "active";
  const [left] = (device.querySelector(".tagmark")?.getAttribute("transform") ?? "(-16").match(/-?[\d.]+/), reach = -Number(left);
  // At the symbol's upper right corner, short of the name beside it.
  const group = drawn("g", { class: `almark al al-${priority} al-${face}`, transform: `translate(${reach - 5} ${-reach - 2}) scale(.8)` });
  if (isNew) group.append(drawn(shape, { ...ring, class: "ring" }));
  group.append(drawn(shape, body), drawn("text", { y: baseline }, String(priority)));
  return group;
}

let latest = {};
async function ask() {
  const answer = await fetch(picture.dataset.alarmMarks, { headers: { Accept: "application/json" } }).catch(() => null);
  if (answer?.ok) show(await answer.json());
}

function show(worst) {
  latest = worst;
  for (const device of picture.querySelectorAll(".device")) {
    const own = worst[device.dataset.device], key = own ? own.join(" ") : "";
    if ((device.dataset.inAlarm ?? "") === key) continue;
    device.dataset.inAlarm = key;
    device.querySelector(".almark")?.remove();
    if (own) (device.querySelector(".tagmark")?.parentElement ?? device.querySelector("g") ?? device).append(mark(device, own));
  }
}

document.addEventListener("view", () => show(latest));
// A replay tells the marks of its moment; the marks of now have no place there.
if (picture.dataset.alarmMarks) { for (const news of ["alarms", "redrawn"]) document.addEventListener(news, ask); ask(); }
else document.addEventListener("alarmsthen", (event) => show(event.detail));
