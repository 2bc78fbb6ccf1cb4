// Sends a form; where the server wants the password again, its form is fetched, and what was sent is sent once more.
export async function sendForm(url, body, host, outer) {
  const answer = await post(url, body);
  if (answer.status !== 403 || answer.body?.code !== "step_up_required") return answer;
  return (await stepUp(host, outer)) ? post(url, body) : { ok: false, status: 0, body: null };
}

async function post(url, body) {
  const answer = await fetch(url, { method: "POST", headers: { Accept: "application/json" }, body }).catch(() => null);
  if (!answer) return { ok: false, status: -1, body: null };
  return { ok: answer.ok, status: answer.status, body: await answer.json().catch(() => null) };
}

// True once the password was taken, false when it was given up.
async function stepUp(host, outer) {
  const answer = await fetch(outer.dataset.stepUp, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return false;
  host.innerHTML = await answer.text();
  const form = host.querySelector("form"), refused = form.querySelector("[data-refused]");
  form.querySelector("[type=password]").focus();
  return new Promise((resolve) => {
    const end = (given) => { host.replaceChildren(); resolve(given); };
    form.querySelector("[data-give-up]").addEventListener("click", () => end(false));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { ok, body } = await post(form.action, new FormData(form));
      if (ok) { end(true); return; }
      form.querySelector("[type=password]").value = "";
      refused.textContent = body?.reason ?? outer.dataset.unsent;
      refused.hidden = false;
    });
  });
}

// The seconds that are left, counted by our own clock's speed from when the page got them.
export function countDown(scope) {
  for (const element of scope.querySelectorAll("[data-left-ms]")) {
    element.dataset.end ??= performance.now() + Number(element.dataset.leftMs);
    const left = Math.max(0, Math.ceil((element.dataset.end - performance.now()) / 1000));
    const words = left >= 60 ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} min` : `${left} s`;
    if (element.textContent !== words) element.textContent = words;
    if (left === 0) element.dispatchEvent(new CustomEvent("over", { bubbles: true }));
  }
}

export function tell(form, answer, unsent) {
  const refused = form.closest("[data-selection]")?.querySelector("[data-refused]") ?? form.querySelector("[data-refused]");
  if (answer.status === 0) return;
  refused.textContent = answer.body?.reason ?? unsent;
  refused.hidden = false;
}
