// The alarm strip of every page: asks anew when the socket says that something changed, acknowledges, sounds.
const strip = document.querySelector("[data-alarmstrip]"), inside = strip.querySelector("[data-strip-inside]"), said = strip.querySelector("[data-strip-said]");
const SILENCE_MS = 60000, LOST_MS = 5000, BACKOFF_MS = [1000, 2000, 4000, 8000];
// How often it sounds and how: pitches in Hz, one after the other. The more urgent, the higher, the longer and the more often.
const SOUNDS = { 1: [2, [988, 740, 988, 740]], 2: [5, [880, 660, 880]], 3: [15, [660, 550]], 4: [60, [440]] };
let tries = 0, heard = performance.now(), dirty = false, asking = false, silentUntil = 0, audio = null, soundedAt = -Infinity, soundsHere = !navigator.locks;

// Of several windows of one browser only one sounds.
navigator.locks?.request("invade-alarm-sound", () => { soundsHere = true; return new Promise(() => {}); });

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/alarms/`);
  socket.onmessage = ({ data }) => {
    heard = performance.now();
    tries = 0;
    if (JSON.parse(data).type === "news") { dirty = true; ask(); }
  };
  socket.onclose = ({ code }) => { if (code !== 4401) setTimeout(connect, BACKOFF_MS[Math.min(tries++, BACKOFF_MS.length - 1)]); };
  addEventListener("pagehide", () => socket.close());
}

async function ask() {
  if (!dirty || asking) return;
  dirty = false;
  asking = true;
  const answer = await fetch(strip.dataset.alarmstrip, { headers: { Accept: "text/html" } }).catch(() => null);
  asking = false;
  if (answer?.redirected) return;
  if (!answer?.ok) { dirty = true; return; }
  take(await answer.text());
  document.dispatchEvent(new CustomEvent("alarms"));
  ask();  // what came meanwhile
}

// Ages change all the time: only news replaces what is read out, and the focus stays where it was.
function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").body;
  const focused = inside.contains(document.activeElement) ? [...inside.querySelectorAll("a, button")].indexOf(document.activeElement) : -1;
  inside.replaceChildren(...fresh.childNodes);
  if (focused >= 0) inside.querySelectorAll("a, button")[focused]?.focus();
  sound();
}

// Between two answers ages go on, as the server says them (alarm_rows.age_words).
const AGES_S = [86400, 3600, 60, 1], born = new WeakMap();
function age(element) {
  if (!born.has(element)) born.set(element, performance.now() - 1000 * Number(element.dataset.aged));
  const s = Math.floor((performance.now() - born.get(element)) / 1000), place = AGES_S.findIndex((size) => Math.max(s, 1) >= size);
  const words = inside.querySelector("[data-ages]").dataset.ages.split("|")[place].replace("%s", Math.floor(s / AGES_S[place]));
  if (element.textContent !== words) element.textContent = words;
}

function tell(words) {
  said.hidden = !words;
  if (said.textContent !== words) said.textContent = words;
}

function watch() {
  const lost = performance.now() - heard > LOST_MS;
  strip.classList.toggle("is-lost", lost);
  document.dispatchEvent(new CustomEvent("alarmsocket", { detail: !lost }));
  const muted = urgency() && soundsHere && audio?.state !== "running";
  tell(lost ? strip.dataset.unheard : muted ? strip.dataset.muted : "");
  if (dirty) ask();
  document.querySelectorAll("[data-aged]").forEach(age);
  sound();
}

const urgency = () => Number(inside.querySelector("[data-sounds]")?.dataset.sounds) || 0;

function sound() {
  const priority = urgency(), now = performance.now();
  strip.dataset.sounding = "";
  if (!priority || !soundsHere || now < silentUntil) return;
  const [every] = SOUNDS[priority];
  strip.dataset.sounding = String(priority);
  if (now - soundedAt >= every * 1000) { soundedAt = now; play(priority); }
}

export function play(priority) {
  if (audio?.state !== "running") return;
  SOUNDS[priority][1].forEach((pitch, index) => {
    const tone = audio.createOscillator(), gain = audio.createGain(), start = audio.currentTime + index * 0.18;
    tone.frequency.value = pitch;
    gain.gain.setValueAtTime(0, start);
    gain.gain.linearRampToValueAtTime(0.25, start + 0.02);
    gain.gain.linearRampToValueAtTime(0, start + 0.16);
    tone.connect(gain).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.17);
  });
  strip.dataset.played = String(Number(strip.dataset.played ?? 0) + 1);
}

// A browser lets nothing sound before its reader has done something. Heard after the click: the line that goes away moves the page.
export async function wake() {
  audio ??= new AudioContext();
  if (audio.state !== "running") await audio.resume();
}
for (const name of ["click", "keydown"]) addEventListener(name, () => { wake().then(watch); });

export async function post(url, body) {
  const answer = await fetch(url, { method: "POST", headers: { Accept: "application/json", "X-CSRFToken": strip.dataset.token }, body }).catch(() => null);
  if (answer?.ok) return "";
  const told = await answer?.json().catch(() => null);
  return told?.reason ?? told?.detail ?? strip.dataset.unsent;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-acknowledge], [data-silence]");
  if (!button) return;
  if (button.matches("[data-silence]")) { silentUntil = performance.now() + SILENCE_MS; button.disabled = true; sound(); return; }
  button.disabled = true;
  const body = new FormData();
  body.append("alarm", button.dataset.acknowledge);
  const refused = await post(strip.dataset.post, body);
  button.disabled = false;
  if (refused) tell(refused);
  dirty = true;
  ask();
});

connect();
setInterval(watch, 1000);
sound();
