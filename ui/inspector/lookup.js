// @ts-check
// The part of the inspector that asks the server: what else one cell could be at one step, and its group.
// An answer is kept, so that looking back costs nothing. While steps stream or play, nothing is asked.

import { find, make } from "../layout/dom.js";
import { percent } from "../stage/run/words.js";
import { patchButton } from "./patches.js";

/** @typedef {import("../stage/run/run.js").Run} Run */
/**
 * See ui/inspector/lookups.py. top and group are [[token, p], ...]; `token` is what the model left there, `centre` the one whose
 * group it is.
 * @typedef {{error?: string, step: number, cell: number, token: number, centre: number, p: number, mass: number,
 *   top: [number, number][], group: [number, number][], patches: Record<number, string>}} Told
 */

const REST_MS = 110; // how long a cell and step must stay before the server is asked
const LOOKUPS_KEPT = 200;

/**
 * The step whose pass chose the token that a cell holds at step k: there the group says most, for once a token stands the
 * model is nearly always sure of it. Where it is masked, or was given, that is step k itself.
 * @param {Run} run @param {number} k @param {number} cell
 */
export function undecided(run, k, cell) {
  if (run.isMasked(k, cell)) return k;
  for (let i = k; i > 0; i--) if (run.frames[i].set.includes(cell)) return i;
  return k;
}

export class Lookup {
  /**
   * @param {HTMLElement} root @param {HTMLElement} near the group's section @param {HTMLElement} say
   * @param {Record<string, (data: any) => Promise<any>>} server
   * @param {(cell: number, token: number) => void} choose puts a token by hand
   * @param {() => void} heard an answer came
   */
  constructor(root, near, say, server, choose, heard) {
    this.root = root;
    this.near = near;
    this.say = say;
    this.server = server;
    this.choose = choose;
    this.heard = heard;
    /** @type {Map<string, Told>} by "run step cell" */
    this.kept = new Map();
    this.timer = 0;
    this.key = "";
    this.held = -1; // the token on the canvas, perhaps put there by hand
  }

  /** @param {Run} run @param {number} k @param {number} cell @param {number} held */
  show(run, k, cell, held) {
    const keys = [k, undecided(run, k, cell)].map((step) => `${run.id} ${step} ${cell}`);
    const known = keys.every((key) => this.kept.has(key));
    const same = keys[0] === this.key;
    if (same && held === this.held && (known || this.timer)) return;
    this.held = held;
    if (same && this.timer) return;
    this.forget();
    this.key = keys[0];
    if (known) return this.draw(this.kept.get(keys[0]), this.kept.get(keys[1]), cell);
    for (const part of [this.root, this.near]) part.classList.add("is-old");
    this.timer = setTimeout(() => this.ask(keys, run, cell), REST_MS);
  }

  hide() {
    this.forget();
    for (const part of [this.root, this.near, this.say]) part.hidden = true;
  }

  forget() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.key = "";
  }

  /** p(token) at the cell and step on screen, null when it is not known. @param {number} token */
  probability(token) {
    const told = this.kept.get(this.key);
    if (told && told.token === token) return told.p;
    const found = told && [...told.top, ...told.group].find(([id]) => id === token);
    return found ? found[1] : null;
  }

  /** Whether the step on screen was asked about. */
  get asked() {
    return this.kept.has(this.key);
  }

  /** @param {string[]} keys of the step on screen, and of the one that chose @param {Run} run @param {number} cell */
  async ask(keys, run, cell) {
    this.timer = 0;
    if (run.state === "running") return; // the model has better things to do; the end of the run asks again
    /** @type {Told[]} */
    const all = [];
    for (const key of keys) {
      const step = Number(key.split(" ")[1]) + run.offset;
      const told = this.kept.get(key) ?? await this.server.look_up({ run: run.id, step, cell })
        .catch(() => ({ error: "The studio did not answer." }));
      if (!told.error) this.kept.set(key, told);
      all.push(told);
    }
    while (this.kept.size > LOOKUPS_KEPT) this.kept.delete(this.kept.keys().next().value);
    if (keys[0] !== this.key) return;
    this.draw(all[0], all[1], cell);
    this.heard();
  }

  /** @param {Told} told of the step on screen @param {Told} chose of the step that chose the token @param {number} cell */
  draw(told, chose, cell) {
    const error = told.error || chose.error;
    this.root.classList.remove("is-old");
    this.near.classList.remove("is-old");
    this.root.hidden = Boolean(error);
    this.near.hidden = Boolean(error) || !chose.group.length;
    this.say.hidden = !error;
    this.say.textContent = error || "";
    if (error) return;
    const part = (/** @type {string} */ name) => find(name, this.root);
    const focused = part(":focus")?.dataset.token;
    const near = new Set(told.group.map(([id]) => id));
    part(".cz-lookup-title").textContent = told.step === 0 ? "What it could become" : "What else it could be";
    part(".cz-candidates").replaceChildren(...told.top.map(([id, p]) => {
      const inGroup = near.has(id);
      const words = `${id === this.held ? "Holds" : "Use"} token ${id}, ${percent(p)}${inGroup ? ", of the same group" : ""}`;
      return this.item(told, cell, id, p, words, inGroup);
    }));
    part(".cz-near-key").hidden = !told.top.some(([id]) => near.has(id));
    find("span", part(".cz-near-key")).textContent = `of the same group as #${told.centre}`;
    // the buttons are new: the keyboard stays where it was
    if (focused) part(`[data-token="${focused}"]`)?.focus({ preventScroll: true });
    Object.assign(this.root.dataset, { step: String(told.step), cell: String(told.cell), p: told.p.toFixed(6) });
    this.group(chose, cell, chose.step === told.step);
  }

  /** @param {Told} chose @param {number} cell @param {boolean} now whether that is the step on screen */
  group(chose, cell, now) {
    const part = (/** @type {string} */ name) => find(name, this.near);
    const whose = `The group of #${chose.centre}`;
    part(".cz-near-title").textContent = now ? `${whose}, at this step` : `${whose} at step ${chose.step}, when the cell was undecided`;
    part(".cz-group").replaceChildren(...chose.group.filter(([id]) => chose.patches[id]).map(([id, p]) => {
      return this.item(chose, cell, id, p, `Use token ${id} of the group, ${percent(p)}`);
    }));
    part(".cz-mass-exact").style.width = `${chose.p * 100}%`;
    part(".cz-mass-group").style.width = `${chose.mass * 100}%`;
    part(".cz-exact-label").textContent = `Exactly #${chose.centre}`;
    part(".cz-exact").textContent = percent(chose.p);
    part(".cz-whole").textContent = percent(chose.mass);
    this.near.dataset.step = String(chose.step);
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
