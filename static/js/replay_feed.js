// A pilot's past in place of its frames: the same points, links and marks, fetched for one moment at a time.
import { Feed } from "./live.js";

const work = document.querySelector("[data-replay]");

class Replay extends Feed {
  constructor({ pilot, replay, at }) {
    super(pilot);
    this.address = replay;
    this.at = this.wanted = Number(at);
  }

  // Ages are those of then.
  now() { return this.at; }
  connect() {}
  watch() {}
  say() {}
  resync() {}
  retry() { this.show(this.wanted); }

  // The newest wish wins: what is asked for meanwhile is fetched next, what lies between is skipped.
  async show(moment) {
    this.wanted = moment;
    if (this.asking) return;
    this.asking = true;
    let at = null;
    while (at !== this.wanted) {
      at = this.wanted;
      const query = new URLSearchParams({ at: new Date(at).toISOString() });
      const answer = await fetch(`${this.address}?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
      if (answer?.status === 401 || answer?.redirected) { location.reload(); return; }
      const frame = answer?.ok ? await answer.json().catch(() => null) : null;
      if (frame) this.put(frame);
      else this.fail();
    }
    this.asking = false;
  }

  put(frame) {
    this.at = frame.now_ms;
    this.take(frame);
    document.dispatchEvent(new CustomEvent("alarmsthen", { detail: frame.marks }));
    this.emit("then", frame);
  }

  fail() {
    this.live = false;
    this.lostAt ??= performance.now();
    this.emit("lost");
  }
}

export const replay = work ? new Replay(work.dataset) : null;
