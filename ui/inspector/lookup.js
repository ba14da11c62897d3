// @ts-check
// The part of the inspector that asks the server: what else one cell could be at one step, and its group.
// An answer is kept, so that looking back costs nothing. While steps stream or play, nothing is asked.

import { find, make } from "../layout/dom.js";
import { percent } from "../stage/run/words.js";
import { patchButton } from "./patches.js";

/** @typedef {import("../stage/run/run.js").Run} Run */
/**
 * See ui/inspect.py. top and group are [[token, p], ...].
 * @typedef {{error?: string, step: number, cell: number, p: number, mass: number, top: [number, number][],
 *   group: [number, number][], patches: Record<number, string>}} Told
 */

const REST_MS = 110; // how long a cell and step must stay before the server is asked
const LOOKUPS_KEPT = 200;
const GROUP_SHOWN = 16;

export class Lookup {
  /**
   * @param {HTMLElement} root @param {HTMLElement} say
   * @param {Record<string, (data: any) => Promise<any>>} server
   * @param {(cell: number, token: number) => void} choose puts a token by hand
   */
  constructor(root, say, server, choose) {
    this.root = root;
    this.say = say;
    this.server = server;
    this.choose = choose;
    /** @type {Map<string, Told>} by "run step cell" */
    this.kept = new Map();
    this.timer = 0;
    this.key = "";
    this.held = -1; // the token on the canvas, perhaps put there by hand
  }

  /** @param {Run} run @param {number} k @param {number} cell @param {number} held */
  show(run, k, cell, held) {
    const key = `${run.id} ${k} ${cell}`;
    const same = key === this.key;
    if (same && held === this.held && (this.kept.has(key) || this.timer)) return;
    this.held = held;
    if (same && this.timer) return;
    this.forget();
    this.key = key;
    if (this.kept.has(key)) return this.draw(this.kept.get(key), cell);
    this.root.classList.add("is-old");
    this.timer = setTimeout(() => this.ask(key, run, k, cell), REST_MS);
  }

  hide() {
    this.forget();
    this.root.hidden = true;
    this.say.hidden = true;
  }

  forget() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.key = "";
  }

  /** p(token) at the cell and step on screen, null when it is not known. @param {number} token */
  probability(token) {
    const told = this.kept.get(this.key);
    const found = told && [...told.top, ...told.group].find(([id]) => id === token);
    return found ? found[1] : null;
  }

  /** @param {string} key @param {Run} run @param {number} k @param {number} cell */
  async ask(key, run, k, cell) {
    this.timer = 0;
    if (run.state === "running") return; // the model has better things to do; the end of the run asks again
    const told = await this.server.look_up({ run: run.id, step: k, cell }).catch(() => ({ error: "The studio did not answer." }));
    if (!told.error) {
      this.kept.set(key, told);
      if (this.kept.size > LOOKUPS_KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    if (key === this.key) this.draw(told, cell);
  }

  /** @param {Told} told @param {number} cell */
  draw(told, cell) {
    this.root.classList.remove("is-old");
    this.root.hidden = Boolean(told.error);
    this.say.hidden = !told.error;
    this.say.textContent = told.error || "";
    if (told.error) return;
    const part = (/** @type {string} */ name) => find(name, this.root);
    const focused = part(":focus")?.dataset.token;
    const near = new Set(told.group.map(([id]) => id));
    part(".cz-lookup-title").textContent = told.step === 0 ? "What it could become" : "What else it could be";
    part(".cz-candidates").replaceChildren(...told.top.map(([id, p]) => {
      const inGroup = near.has(id);
      const words = `${id === this.held ? "Holds" : "Use"} token ${id}, ${percent(p)}${inGroup ? ", of the same group" : ""}`;
      return this.item(told, cell, id, p, words, inGroup);
    }));
    part(".cz-group").replaceChildren(...told.group.slice(0, GROUP_SHOWN).map(([id, p]) => {
      return this.item(told, cell, id, p, `Use token ${id} of the group, ${percent(p)}`);
    }));
    // the buttons are new: the keyboard stays where it was
    if (focused) part(`[data-token="${focused}"]`)?.focus({ preventScroll: true });
    part(".cz-near").hidden = !told.group.length;
    part(".cz-mass-exact").style.width = `${told.p * 100}%`;
    part(".cz-mass-group").style.width = `${told.mass * 100}%`;
    part(".cz-exact").textContent = percent(told.p);
    part(".cz-whole").textContent = percent(told.mass);
    Object.assign(this.root.dataset, { step: String(told.step), cell: String(told.cell), p: told.p.toFixed(6) });
  }

  /**
   * @param {Told} told @param {number} cell @param {number} id @param {number} p @param {string} words @param {boolean} near
   */
  item(told, cell, id, p, words, near = false) {
    const here = id === this.held;
    const button = patchButton(told.patches[id], percent(p), {
      title: here ? "This is the token it holds" : "Use this token",
      "aria-label": words,
      "data-token": id,
      onclick: () => this.choose(cell, id),
    });
    button.classList.toggle("is-here", here);
    button.classList.toggle("is-near", near);
    return make("li", {}, button);
  }
}
