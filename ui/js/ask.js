// Asks for the model: what a button wants done, from the canvas as it stands. An ask travels in the last field of the form
// (see ui/asks.py); the form's other fields are the visitor's own settings, some of them changed for a comparison.

const FORM = ["prompt", "seed", "steps", "guidance", "editing", "temperature", "order", "schedule", "gumbel",
  "edit_mode", "edit_threshold", "edit_margin", "edit_budget", "polish", "ask"];

const RETRY_MS = 150;

class Asks {
  constructor() {
    this.next = null; // {ask, change} for the coming event
    this.sent = ""; // the form as it was last sent
    this.finished = ""; // the form of the last run that ended well
    this.waiting = false;
    this.pressed = false; // Generate, or Enter in the prompt, was pressed and no event has begun yet
  }

  // Notes the presses of Generate as they happen, before Gradio hears of them. free() tells whether the page looks as if
  // it would take one: a second click on a press that is being answered is none.
  listen(free) {
    const generate = () => document.querySelector("#generate");
    const note = (on) => { if (on && !generate().disabled && free()) this.pressed = true; };
    document.addEventListener("click", ({ target }) => note(target.closest?.("#generate")), true);
    document.addEventListener("keydown", (event) => {
      note(event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.closest?.("#prompt"));
    }, true);
  }

  // Presses the hidden button behind all model events but Generate. change: {seed, steps, editing, ...} for the form.
  start(ask, change = {}) {
    if (this.waiting) return false;
    this.next = { ask, change };
    document.querySelector("#act").click();
    return true;
  }

  // Gradio drops a press that comes before it has closed the event of the last run: it is made again a moment later.
  // (At once would be too early: the answers to a press that comes while the last run's stream closes are never read.)
  retry() {
    const name = this.next ? "#act" : this.pressed ? "#generate" : "";
    this.pressed = false;
    if (name) document.querySelector(name).click();
  }

  // The values that really leave the page. The same press twice rolls a new seed unless it is kept: it always gives
  // something new to look at, and a changed slider keeps the seed, so that two pictures can be compared.
  fill(values, ask, change) {
    const out = values.slice();
    FORM.forEach((name, i) => { if (name in change) out[i] = change[name]; });
    out[FORM.indexOf("ask")] = ask;
    const keep = document.querySelector("#keep-seed input");
    const fixed = "seed" in change || (keep && keep.checked);
    if (!fixed && JSON.stringify(out) === this.finished) out[1] = rollSeed();
    this.sent = JSON.stringify(out);
    return out;
  }
}

function writePrompt(text) {
  const field = document.querySelector("#prompt textarea");
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

// The prompt box follows the run that comes onto the canvas, unless the visitor has written something else meanwhile.
function followPrompt(next) {
  const written = document.querySelector("#prompt textarea")?.value;
  if (next.kind !== "upload" && (!run || written === run.prompt)) writePrompt(next.prompt);
}

function rollSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

// The ask that makes a run again from where it began, and the form's values that it was made with.
function again(run) {
  const start = run.frames[run.base];
  const change = { prompt: run.prompt, ...run.settings, editing: run.settings.edit !== "off" };
  change.edit_mode = run.settings.edit === "remask" ? "remask" : "overwrite";
  change.steps = run.kind === "branch" ? run.settings.steps + run.base : run.settings.steps;
  for (const name of Object.keys(change)) if (!FORM.includes(name)) delete change[name];
  const fresh = run.kind === "generate" && !start.locked.includes(1);
  const [id, step] = run.parent || [run.id, run.base];
  const ask = fresh
    ? { kind: "generate", run: null, step: 0, tokens: null, locked: null }
    : { kind: run.kind, run: id, step, tokens: pack(start.tokens, Int32Array), locked: pack(start.locked, Uint8Array) };
  return { ask, change };
}

// Decoded pictures of hand-made edits: one question at a time, and always the newest state first.
class Previews {
  constructor(ready, failed) {
    this.ready = ready;
    this.failed = failed;
    this.busy = false;
    this.wanted = null;
  }

  want(run, draft) {
    this.wanted = { run, draft };
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    while (this.wanted) {
      const { run, draft } = this.wanted;
      this.wanted = null;
      try {
        const told = await server.preview({ run: run.id, tokens: pack(draft.tokens, Int32Array) });
        if (told.error) { this.failed(told.error); continue; }
        const image = new Image();
        image.src = told.image;
        if (told.image) await image.decode();
        draft.image = told.image ? image : null;
        draft.version++;
        draft.pending = new Set();
        this.ready();
      } catch (error) {
        this.failed("The studio does not answer: look whether it still runs, then reload the page.");
      }
    }
    this.busy = false;
  }
}
