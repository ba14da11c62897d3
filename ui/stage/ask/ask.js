// @ts-check
// Asks for the model: what a button wants done, from the canvas as it stands. An ask travels in the last field of the
// form (see ui/server/asks.py); the form's other fields are the visitor's own settings, some changed for a comparison.

import { find } from "../../layout/dom.js";
import { facts } from "../../layout/facts.js";
import { pack } from "../run/bytes.js";
import { shownFor } from "./form.js";

/** @typedef {import("../run/run.js").Run} Run */
/**
 * @typedef {{kind: string, run: string | null, step: number, tokens: string | null, locked: string | null,
 *   role?: string, count?: number}} Ask
 * @typedef {Record<string, any>} Values of the form, by name
 */

const RETRY_MS = 150;

export class Asks {
  /** @param {import("../stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {{ask: Ask, changes: Values} | null} for the coming event */
    this.next = null;
    this.sent = ""; // the form as it was last sent
    this.finished = ""; // the form of the last run that ended well
    this.waiting = false; // for the first step
    /** @type {Int32Array | null} the locks of the picture that the last event started from: what it makes may keep them */
    this.locks = null;
    /** @type {{run: string, words: string} | null} what a reload cut off, until something else is asked; run: "" without one */
    this.cut = null;
    this.pressed = false; // Generate, or Enter in the prompt, was pressed and no event has begun yet
  }

  /**
   * Notes the presses of Generate as they happen, before Gradio hears of them. taken() tells whether the page looks as
   * if it would take one: a second click on a press that is being answered is none.
   * @param {() => boolean} taken
   */
  listen(taken) {
    const note = (/** @type {any} */ on) => { if (on && !find("#generate").disabled && taken()) this.pressed = true; };
    const at = (/** @type {Event} */ event, /** @type {string} */ name) => {
      return event.target instanceof Element && event.target.closest(name);
    };
    document.addEventListener("click", (event) => note(at(event, "#generate")), true);
    document.addEventListener("keydown", (event) => {
      note(event.key === "Enter" && !event.shiftKey && !event.isComposing && at(event, "#prompt"));
    }, true);
  }

  /** The ask for `kind` from the canvas as it stands. @param {string} kind @param {Partial<Ask>} more @returns {Ask} */
  wish(kind, more = {}) {
    const { run, shown, sheet } = this.stage;
    const locked = sheet.lockedCells();
    const tokens = pack(sheet.start(run, shown), Int32Array);
    return { kind, run: run.id, step: shown, tokens, locked: locked && pack(locked, Uint8Array), ...more };
  }

  /** @param {string} kind @param {Partial<Ask>} more @param {Values} changes of the form */
  act(kind, more = {}, changes = {}) {
    return this.start(this.wish(kind, more), changes);
  }

  /** Presses the hidden button behind all model events but Generate. @param {Ask} ask @param {Values} changes */
  start(ask, changes = {}) {
    if (this.waiting) return false;
    this.next = { ask, changes };
    find("#act").click();
    return true;
  }

  /**
   * Gradio drops a press that comes before it has closed the event of the last run: it is made again a moment later.
   * (At once would be too early: the answers to a press that comes while the last run's stream closes are never read.)
   */
  retry() {
    if (!this.next && !this.pressed) return;
    setTimeout(() => {
      const name = this.next ? "#act" : this.pressed ? "#generate" : "";
      this.pressed = false;
      if (name) find(name).click();
    }, RETRY_MS);
  }

  /**
   * The run on screen made again with one thing changed, and put beside it; one that this visit has made comes back.
   * @param {"editing" | "half" | "seed"} what
   */
  compareWith(what) {
    const { ask, changes } = again(facts().form, this.stage.run);
    if (what === "editing") changes.editing = !changes.editing;
    if (what === "half") changes.steps = Math.max(1, Math.round(changes.steps / 2));
    if (what === "seed") changes.seed = rollSeed();
    const { stage } = this;
    const known = stage.shelf.runs.find((run) => run !== stage.run && cameOf(facts().form, run, ask, changes));
    if (!known) return this.start({ ...ask, role: "beside" }, changes);
    stage.compare(known);
    stage.go(stage.longest);
    return true;
  }

  /** What there is to say of a cut, while what was cut is on the stage. */
  get cutWords() {
    const { cut, stage } = this;
    return cut && (!cut.run || cut.run === stage.run?.id) ? cut.words : "";
  }

  /** The steps that Stop left undone, from where it ended and with the run's own settings and seed. */
  carryOn() {
    const { run } = this.stage;
    if (this.stage.canCarryOn) this.act("branch", {}, again(facts().form, run).changes);
  }

  /**
   * As a model event starts: the values of the form as they really leave the page.
   * @param {any[]} values in the order of the form
   */
  before(values) {
    const { stage } = this;
    let { ask, changes } = this.next || { ask: null, changes: {} };
    this.next = null;
    this.pressed = false;
    this.cut = null;
    stage.emit("ask");
    // Enter in the prompt while editing
    if (!ask && stage.task === "edit" && stage.free && stage.countMasked() > 0) ask = this.wish("repaint");
    if (!ask && stage.run && stage.sheet.countLocked()) ask = this.wish("generate");
    this.waiting = true;
    this.locks = stage.sheet.locks;
    stage.listening.expect();
    const keep = find("#keep-seed input")?.checked;
    const filled = fill(Object.keys(facts().form), values, ask, changes, this.finished, keep);
    this.sent = JSON.stringify(filled);
    stage.say("waiting for the first step …");
    stage.changed();
    return filled;
  }
}

/**
 * The form filled in. The same press twice (`finished` is the form of the last run) rolls a new seed unless it is kept:
 * it always gives something new to look at, and a changed slider keeps the seed, so that two pictures can be compared.
 * @param {string[]} names of the form's fields @param {any[]} values of them, and a last one for the ask
 * @param {Ask | null} ask @param {Values} changes @param {string} finished @param {boolean} keep
 */
export function fill(names, values, ask, changes, finished, keep) {
  const out = [...names.map((name, i) => (name in changes ? changes[name] : values[i])), ask];
  const fixed = "seed" in changes || keep;
  if (!fixed && JSON.stringify(out) === finished) out[names.indexOf("seed")] = rollSeed();
  return out;
}

export function rollSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

/**
 * The ask that makes a run again from where it began, and the form's values that it was made with.
 * @param {Values} initial what the form starts with: what the run leaves open is as the model has it @param {Run} run
 */
export function again(initial, run) {
  const start = run.frames[run.base];
  const changes = shownFor(initial, run);
  const fresh = run.kind === "generate" && !start.locked.includes(1);
  const [id, step] = run.parent || [run.id, run.base];
  /** @type {Ask} */
  const ask = fresh
    ? { kind: "generate", run: null, step: 0, tokens: null, locked: null }
    : { kind: run.kind, run: id, step, tokens: pack(start.tokens, Int32Array), locked: pack(start.locked, Uint8Array) };
  return { ask, changes };
}

/**
 * Whether this ask with these values of the form would make that run once more.
 * @param {Values} initial what the form starts with @param {Run} run @param {Ask} ask @param {Values} changes
 */
export function cameOf(initial, run, ask, changes) {
  if (run.state !== "done" || run.ground || run.kind !== ask.kind) return false;
  const own = again(initial, run);
  const values = (/** @type {Values} */ of) => JSON.stringify(Object.keys(initial).map((name) => of[name]));
  return JSON.stringify(own.ask) === JSON.stringify(ask) && values(own.changes) === values(changes);
}
