// The training page keeps itself fresh: countdowns each second, the field every two, the button says the whole deed.
const work = document.querySelector("[data-training]"), field = work.querySelector("[data-field]");
const words = JSON.parse(document.getElementById("words").textContent).training;
let asked = performance.now();

work.classList.add("scripted");
work.querySelector("[data-where] select").addEventListener("change", (event) => event.target.form.requestSubmit());

function span(seconds) {
  const whole = Math.max(0, Math.ceil(seconds)), minutes = Math.floor(whole / 60);
  return minutes ? `${minutes} min ${String(whole % 60).padStart(2, "0")} s` : `${whole} s`;
}

function count() {
  const gone = (performance.now() - asked) / 1000;
  for (const cell of field.querySelectorAll("[data-left]")) cell.textContent = span(Number(cell.dataset.left) - gone);
}

// What stands there apart from the countdowns: only a change of it is worth moving the page under somebody's hand.
const gist = (scope) => [...scope.querySelectorAll("[data-fault], [data-connection]")].map((row) => `${row.dataset.fault ?? row.dataset.connection} ${[...row.querySelectorAll("td:not([data-left])")].map((cell) => cell.textContent).join("|")}`).join("\n");

async function refresh() {
  try {
    const answer = await fetch(work.dataset.training, { headers: { Accept: "text/html" } });
    if (!answer.ok) { if (answer.status === 503) location.reload(); return; }
    const fresh = document.createElement("template");
    fresh.innerHTML = await answer.text();
    asked = performance.now();
    if (gist(fresh.content) !== gist(field)) field.replaceChildren(fresh.content);
    else for (const cell of fresh.content.querySelectorAll("[data-fault] [data-left]")) field.querySelector(`[data-fault="${cell.closest("tr").dataset.fault}"] [data-left]`).dataset.left = cell.dataset.left;
    count();
  } catch {
    // The server is away for a moment; the next try comes.
  }
}

const form = work.querySelector("[data-start]"), button = form.querySelector("[data-deed]");
function deed() {
  const kind = form.querySelector("[name=kind]:checked"), lasts = form.querySelector("[name=lasts_s]");
  const said = [kind?.closest("label").querySelector("b").textContent, form.dataset.target, lasts.selectedOptions[0].textContent];
  button.disabled = !kind;
  button.textContent = kind ? said.reduce((text, word) => text.replace("%s", word), words.start) : words.choose;
}
form.addEventListener("input", (event) => {
  // A restart is a matter of seconds: nobody wants it for the five minutes that suit the others.
  if (event.target.name === "kind" && event.target.dataset.moment !== undefined) form.querySelector("[name=lasts_s]").value = "30";
  deed();
});
deed();
count();
setInterval(count, 1000);
setInterval(refresh, 2000);
