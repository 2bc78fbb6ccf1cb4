// Exports: the form's picker and presets, and the list followed while something is being written.
const ASK_MS = 1000, IDLE_MS = 5000;
const place = document.querySelector("[data-exports]"), form = document.querySelector("[data-export-form]"), said = document.querySelector("[data-exports-lost]");

// A row that says the same stays the same element, so focus and an open checksum are kept.
function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html"), body = place.querySelector("tbody"), rows = fresh.querySelector("tbody");
  if (!body || !rows) { place.replaceChildren(...fresh.body.childNodes); return; }
  const kept = new Map([...body.rows].map((row) => [row.dataset.export, row]));
  const focused = document.activeElement?.closest?.("tr[data-export]")?.dataset.export;
  body.replaceChildren(...[...rows.rows].map((row) => {
    row.told = told(row);
    const old = kept.get(row.dataset.export);
    return old?.told === row.told ? old : row;
  }));
  const row = focused && body.querySelector(`[data-export="${CSS.escape(focused)}"]`);
  if (row && !row.contains(document.activeElement)) row.querySelector("a, button")?.focus({ preventScroll: true });
}

// What a row tells; its form's token is another each time.
const told = (row) => row.outerHTML.replace(/csrfmiddlewaretoken" value="[^"]*"/, "");

// A progress that nobody writes any more must not look as if it stood still by itself.
function tell(heard) {
  said.hidden = heard;
  document.body.classList.toggle("not-live", !heard);
}

async function follow() {
  if (!document.hidden) {
    const answer = await fetch(place.dataset.exports, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer?.redirected) { location.reload(); return; }
    tell(Boolean(answer?.ok));
    if (answer?.ok) take(await answer.text());
  }
  setTimeout(follow, place.querySelector("[data-open]") || !said.hidden ? ASK_MS : IDLE_MS);
}

function pick(picker) {
  const boxes = [...picker.querySelectorAll("[data-point] input")], count = form.querySelector("[data-count]");
  const show = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    count.textContent = count.dataset.words.replace("%s", String(chosen));
    for (const group of picker.querySelectorAll("details")) {
      const own = [...group.querySelectorAll("[data-point] input")], on = own.filter((box) => box.checked).length, all = group.querySelector("[data-all]");
      all.checked = on === own.length;
      all.indeterminate = on > 0 && on < own.length;
    }
  };
  picker.addEventListener("change", ({ target }) => {
    if (target.matches("[data-all]")) {
      for (const box of target.closest("details").querySelectorAll("[data-point]:not([hidden]) input")) box.checked = target.checked;
    }
    show();
  });
  form.querySelector("[data-search]").addEventListener("input", ({ target }) => search(picker, target.value.trim().toLowerCase()));
  // One field, however many points: a form may have a thousand.
  form.addEventListener("formdata", ({ formData }) => {
    const chosen = formData.getAll("points");
    formData.delete("points");
    formData.set("points", chosen.join(","));
  });
  show();
}

function search(picker, wanted) {
  for (const group of picker.querySelectorAll("details")) {
    const whole = group.querySelector("summary").textContent.toLowerCase().includes(wanted);
    let hits = 0;
    for (const label of group.querySelectorAll("[data-point]")) {
      const fits = whole || `${label.textContent} ${label.querySelector("input").value}`.toLowerCase().includes(wanted);
      label.hidden = !fits;
      hits += fits;
    }
    group.hidden = !hits;
    if (wanted) group.open = hits > 0;
  }
}

if (form) {
  const zones = form.querySelector("[data-zone-choice]");
  pick(form.querySelector("[data-picker]"));
  form.querySelector("[data-pilot]").addEventListener("change", ({ target }) => location.assign(`${target.dataset.page}?pilot=${encodeURIComponent(target.value)}`));
  form.addEventListener("click", ({ target }) => {
    if (!target.matches("[data-preset]")) return;
    const universal = zones.value === "UTC";
    form.elements.start.value = universal ? target.dataset.utcStart : target.dataset.start;
    form.elements.end.value = universal ? target.dataset.utcEnd : target.dataset.end;
  });
}
for (const row of place.querySelectorAll("tr[data-export]")) row.told = told(row);
setTimeout(follow, ASK_MS);
