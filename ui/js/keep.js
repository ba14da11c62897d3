// The picture outlives a lost connection. When the network drops in the middle of an event (a phone that sleeps, a
// classroom's wireless), Gradio says so and loads the page anew as soon as the server answers. What was last on its way
// to the canvas, with the locks and what was changed by hand, is handed over to the new page, in this tab's own storage.
// A reload by hand still begins anew.

const KEPT = "chisel-kept";
const LOST = "Connection to the server was lost"; // Gradio's own words
const LOOK_MS = 500; // Gradio waits two seconds before it tries again
const LEAVE_MS = 60_000; // a page that is about to go is gone by then, or stays after all
const BACK = "The connection was lost for a moment. This is the picture that was here.";

class Keeper {
  // sheet: the Sheet whose marks are kept; where(id): {run, k}, the run with that id and the step on screen.
  constructor(sheet, where) {
    this.sheet = sheet;
    this.where = where;
    this.message = null; // the newest run as one message with all its frames
    this.lost = false;
    this.leaving = false;
    setInterval(() => this.look(), LOOK_MS);
    // On a reload by hand Gradio closes its streams itself, in this very event, and complains in passing: what counts
    // is what it had said before.
    window.addEventListener("beforeunload", () => {
      this.leaving = true;
      setTimeout(() => { this.leaving = false; }, LEAVE_MS);
    });
    window.addEventListener("pagehide", () => this.save());
  }

  look() {
    if (this.leaving) return;
    const toasts = Array.from(document.querySelectorAll(".toast-body"), (toast) => toast.textContent);
    this.lost ||= toasts.some((words) => words.includes(LOST));
  }

  note(message) {
    if (!this.message || this.message.run !== message.run) this.message = { ...message, frames: [] };
    const have = new Set(this.message.frames.map((raw) => raw.k));
    const frames = [...this.message.frames, ...message.frames.filter((raw) => !have.has(raw.k))];
    this.message = { ...message, frames: frames.sort((a, b) => a.k - b.k) };
  }

  save() {
    if (!this.message || !this.lost) return;
    const prompt = document.querySelector("#prompt textarea")?.value;
    const { run, k } = this.where(this.message.run);
    const hand = run && { ...this.sheet.keep(run), k: Math.min(k, run.last) + run.offset };
    try {
      sessionStorage.setItem(KEPT, JSON.stringify({ message: this.message, prompt, hand }));
    } catch {
      // too large for this browser's storage: the page begins anew
    }
  }

  // Shows what the page before left; show(message) brings it onto the canvas, go(k) to a step of it.
  restore(show, go) {
    const kept = sessionStorage.getItem(KEPT);
    sessionStorage.removeItem(KEPT);
    if (!kept || /^#c\d+(=|%3D)/i.test(location.hash)) return;
    const { message, prompt, hand } = JSON.parse(kept);
    show({ ...message, role: "main", state: message.state === "running" ? "stopped" : message.state });
    const { run } = this.where(message.run);
    if (run && hand) {
      this.sheet.resume(run, hand);
      go(hand.k - run.offset);
    }
    this.fill(prompt);
  }

  // The form comes to stand on the page after the stage.
  fill(prompt) {
    const [field, notice] = ["#prompt textarea", ".cz-notice"].map((name) => document.querySelector(name));
    if (!field || !notice) return void setTimeout(() => this.fill(prompt), 100);
    if (prompt) writePrompt(prompt);
    notice.textContent = BACK;
  }
}
