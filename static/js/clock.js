// The clock of the page's zone.
const clock = document.querySelector("[data-clock]");
if (clock) {
  const zone = clock.dataset.clock, lang = document.documentElement.lang;
  const time = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat(lang, { timeZone: zone, weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const offset = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "short" });
  const tick = () => {
    const now = new Date();
    clock.querySelector("b").textContent = time.format(now);
    clock.querySelector("[data-zone]").textContent = [offset.formatToParts(now).find((part) => part.type === "timeZoneName").value, zone.split("/").slice(1).pop()?.replace("_", " ")].filter(Boolean).join(" · ");
    clock.querySelector("[data-date]").textContent = day.format(now);
    for (const local of document.querySelectorAll("[data-local]")) {
      const place = local.dataset.local;
      local.textContent = new Intl.DateTimeFormat("en-GB", { timeZone: place, hour: "2-digit", minute: "2-digit", timeZoneName: "short" }).format(now);
    }
  };
  tick();
  setInterval(tick, 1000);
}
