// @ts-check
// What a visitor decides at one step: which cells are set, which take the model's edit, which go back to stone. It knows no
// element of the page.

import { unpack } from "../../stage/run/bytes.js";
import { count } from "../../stage/run/words.js";

/** @typedef {"surest" | "least" | "chance" | "hand"} Rule */
/**
 * A step as the server offers it, see ui/learn/sampler/game.py.
 * @typedef {{error?: string, state: string, run: string, k: number, phase: string, steps: number, seed: number, prompt: string,
 *   grid: [number, number], vocab: number, image?: string, guess: string, tokens: string, drawn: string, p: string,
 *   order: string, chance: string, commits: string, edits: string, temperature: number, form: Record<string, any>,
 *   message?: import("../../stage/run/run.js").Message, ahead?: number, more?: boolean, words?: string}} Told
 * @typedef {{at: number, from: number, to: number}} Edit
 */

export class Choice {
  /** @param {Told} told @param {Rule} rule */
  constructor(told, rule = "surest") {
    /** @type {Rule} */
    this.rule = rule;
    /** @type {Set<number>} cells chosen by hand */
    this.picked = new Set();
    /** @type {Set<number>} cells that are masked again */
    this.back = new Set();
    this.editing = true; // take the edits that the model would make
    this.offered(told);
    this.many = this.commits.length;
    // by hand one goes on from what the sampler would set, as where one turns to it
    if (rule === "hand") this.picked = new Set(this.order.slice(0, this.many));
  }

  /** The same step, perhaps at another temperature: what was chosen stays. @param {Told} told */
  offered(told) {
    this.mask = told.vocab;
    this.phase = told.phase;
    this.tokens = unpack(told.tokens, Int32Array);
    this.drawn = unpack(told.drawn, Int32Array);
    this.p = unpack(told.p, Uint16Array);
    this.order = unpack(told.order, Uint16Array);
    this.chance = unpack(told.chance, Uint16Array);
    this.commits = unpack(told.commits, Uint16Array);
    const triples = unpack(told.edits, Int32Array);
    /** @type {Edit[]} */
    this.edits = [];
    for (let i = 0; i + 2 < triples.length; i += 3) this.edits.push({ at: triples[i], from: triples[i + 1], to: triples[i + 2] });
  }

  /** @param {number} cell */
  isMasked(cell) {
    return this.tokens[cell] === this.mask;
  }

  get masked() {
    return this.order.length;
  }

  /** The cells to set, those that come first at the front. */
  get set() {
    if (this.rule === "hand") return [...this.picked];
    const order = this.rule === "chance" ? this.chance : this.rule === "least" ? this.order.slice().reverse() : this.order;
    return [...order.slice(0, this.many)];
  }

  /** The cells that take the model's edit. */
  get edit() {
    return this.editing ? this.edits.map((edit) => edit.at).filter((cell) => !this.back.has(cell)) : [];
  }

  /** @param {Rule} rule */
  follow(rule) {
    if (rule === "hand") this.picked = new Set(this.set);
    else if (this.rule === "hand") this.many = this.picked.size || this.commits.length;
    this.rule = rule;
  }

  /** @param {number} n */
  take(n) {
    if (this.rule === "hand") this.follow("surest");
    this.many = Math.min(Math.max(n, 0), this.masked);
  }

  /** What a press on this cell would do. @param {number} cell */
  isOn(cell) {
    return this.isMasked(cell) ? this.set.includes(cell) : this.back.has(cell);
  }

  /** Stone is chosen to be set, a set cell to go back; or no longer. @param {number} cell @param {boolean} on */
  press(cell, on = !this.isOn(cell)) {
    if (this.isMasked(cell) && this.rule !== "hand") this.follow("hand");
    const cells = this.isMasked(cell) ? this.picked : this.back;
    if (on) cells.add(cell);
    else cells.delete(cell);
  }

  /** As the server takes it. */
  get decided() {
    return { set: this.set, edit: this.edit, back: [...this.back] };
  }

  /** Something would happen, or nothing has to. */
  get able() {
    return !this.masked || this.set.length + this.edit.length + this.back.size > 0;
  }

  /** "Set 21 cells, change 3, send 2 back" */
  get words() {
    const [set, edit, back] = [this.set.length, this.edit.length, this.back.size];
    const parts = [set && `set ${count(set, "cell")}`, edit && `change ${edit}`, back && `send ${back} back`].filter(Boolean);
    if (!parts.length) return this.masked ? "Choose a cell first" : this.phase === "polish" ? "Leave it as it is" : "Look again";
    const words = parts.join(", ");
    return words.charAt(0).toUpperCase() + words.slice(1);
  }
}

/**
 * How many cells hold another token.
 * @param {ArrayLike<number>} one @param {ArrayLike<number>} other
 */
export function differing(one, other) {
  let n = 0;
  for (let cell = 0; cell < one.length; cell++) if (one[cell] !== other[cell]) n++;
  return n;
}
