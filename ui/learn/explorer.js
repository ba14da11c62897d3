// @ts-check
// The GCE explorer: a token, its group in the codebook at several sizes, and which way the two objectives pull.
// All figures come from the server, for every stop of the slider at once, so that moving it costs nothing.

import { find, findAll, make } from "../layout/dom.js";
import { patchButton } from "../inspector/patches.js";
import { percent, place } from "../stage/run/words.js";

/** @typedef {{run: string, step: number, cell: number}} Place where the probabilities come from */
/**
 * See ui/learn/explorer.py.
 * @typedef {{token: number, size: number, sizes: number[], trained: number, cell: number, columns: number, step: number,
 *   prompt: string, members: [number, number][], p: number, mass: number, patches: Record<number, string>,
 *   pulls: [lambda: number, loss: number, exact: number, group: number, outside: number][]}} Told
 */

const MANY = 16; // members from here on are small and bear no figures
const STILL = 0.0005; // a pull below this is none

export class Explorer {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece
   */
  constructor(stage, { element, server }) {
    this.stage = stage;
    this.element = element;
    this.server = server;
    /** @type {number | null} */
    this.token = null;
    /** @type {number | null} */
    this.size = null;
    /** @type {Place | null} null for the model's first look at an empty grid */
    this.place = null;
    /** @type {Told | null} */
    this.told = null;
    this.page = 0;
    this.asked = 0;
    this.isOpen = false;
    this.slider = this.find("input[type=range]");
    stage.on("chapter", (name) => {
      const opened = name === "neighbours" && !this.isOpen;
      this.isOpen = name === "neighbours";
      if (opened) this.open();
    });
    this.slider.addEventListener("input", () => this.pull());
    this.find("[data-explore=more]").addEventListener("click", () => { this.page += 1; this.handful(); });
    this.find("[data-explore=cell]").addEventListener("click", () => this.explore({ place: this.chosen, token: null }));
    for (const name of ["select", "run", "step"]) stage.on(name, () => this.offer());
    stage.on("done", () => this.open());
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  open() {
    if (!this.isOpen) return;
    this.page = 0;
    this.offer();
    this.handful();
  }

  /** The inspected cell of the picture. @returns {Place | null} */
  get chosen() {
    const { run, shown, selected } = this.stage;
    return run && run.state !== "running" && selected >= 0 ? { run: run.id, step: shown, cell: selected } : null;
  }

  /** The finished picture. @returns {{run: string | null, step?: number}} */
  get picture() {
    const { run } = this.stage;
    return run && run.state === "done" ? { run: run.id, step: run.last } : { run: null };
  }

  offer() {
    this.find("[data-explore=cell]").hidden = !this.chosen;
  }

  /** Tokens to choose from. */
  async handful() {
    const told = await this.server.handful({ ...this.picture, page: this.page });
    if (told.error) return this.say(told.error);
    this.find(".cz-from").textContent = this.picture.run ? "Tokens of this picture" : "Tokens of the codebook";
    this.find(".cz-handful").replaceChildren(...told.tokens.map((/** @type {number} */ id) => patchButton(told.patches[id], "", {
      "aria-label": `Token ${id}`,
      "aria-pressed": String(id === this.token),
      "data-token": id,
      onclick: () => this.explore({ token: id, place: null }),
    })));
    if (this.token === null) await this.explore({});
  }

  /** @param {{token?: number | null, size?: number, place?: Place | null}} change @returns {Promise<void>} */
  async explore(change) {
    Object.assign(this, change);
    const mine = ++this.asked;
    const where = this.place || { run: this.picture.run };
    const told = await this.server.explore({ ...where, token: this.token, size: this.size });
    if (mine !== this.asked) return;
    if (told.error) return this.place ? this.explore({ place: null }) : this.say(told.error);
    Object.assign(this, { told, token: told.token, size: told.size });
    this.draw();
  }

  /** The buttons of the sizes are new then: the keyboard stays where it was. @param {number} size */
  async resize(size) {
    await this.explore({ size });
    this.find(".cz-sizes [aria-pressed=true]").focus({ preventScroll: true });
  }

  /** @param {string} words */
  say(words) {
    this.find(".cz-explore-say").textContent = words;
  }

  draw() {
    const { told } = this;
    for (const button of findAll(".cz-handful button", this.element)) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.token) === told.token));
    }
    this.find(".cz-sizes").replaceChildren(...told.sizes.map((n) => make("button", {
      textContent: String(n),
      title: n === told.trained ? "This model was trained with groups of this size" : `Groups of ${n} codes`,
      "aria-label": `Groups of ${n} codes${n === told.trained ? ", as in training" : ""}`,
      "aria-pressed": String(n === told.size),
      onclick: () => this.resize(n),
    })));
    const many = told.size > MANY;
    const members = this.find(".cz-members");
    members.classList.toggle("is-many", many);
    members.replaceChildren(...told.members.map(([id, p]) => {
      const button = patchButton(told.patches[id], many ? "" : percent(p), {
        "aria-label": `Token ${id}, ${percent(p)}`,
        title: `#${id}, ${percent(p)}`,
        onclick: () => this.explore({ token: id }),
      });
      button.classList.toggle("is-here", id === told.token);
      return button;
    }));
    const at = place(told.cell, told.columns);
    const where = this.place ? `At ${at}, step ${told.step},` : `At its first look for “${told.prompt}”, ${at},`;
    const shares = `this token ${percent(told.p)} and its group of ${told.size} together ${percent(told.mass)}`;
    this.say(`${where} the model gives ${shares}.`);
    Object.assign(this.element.dataset, { token: String(told.token), size: String(told.size) });
    this.pull();
  }

  /** Three pairs of bars around a middle line: to the right is made likelier, to the left less likely. */
  pull() {
    const { told } = this;
    if (!told) return;
    const [lambda, , ...now] = told.pulls[Number(this.slider.value)];
    const [, , ...plain] = told.pulls[0];
    const weight = lambda.toFixed(2);
    const most = Math.max(...told.pulls.flatMap(([, , ...all]) => all.map(Math.abs)), 1e-9);
    const others = told.size === 2 ? "its neighbour" : `its ${told.size - 1} neighbours`;
    const names = ["this token", others, "all others"];
    this.find(".cz-lambda").textContent = weight;
    this.find(".cz-pulls").replaceChildren(...names.map((name, i) => make("div", { className: "cz-pull" },
      make("span", { textContent: name }), make("b", { textContent: signed(now[i]) }),
      make("div", {}, bar(plain[i], most, "is-plain"), bar(now[i], most, "is-grouped")))));
    const each = names.map((name, i) => {
      return `${name} ${signed(plain[i])} with plain cross-entropy, ${signed(now[i])} with the group term`;
    });
    this.find(".cz-pulls").setAttribute("aria-label", `Pull on the logits. ${each.join("; ")}.`);
    const [they, are] = told.size === 2 ? ["it", "is"] : ["they", "are"];
    this.find(".cz-explore-sum").textContent =
      `If this were the right token: with plain cross-entropy (pale bars) ${others} ${drift(plain[1], are)}; ` +
      `with the group at weight ${weight} (strong bars) ${they} ${drift(now[1], are)}.`;
    Object.assign(this.element.dataset, { lambda: weight, group: now[1].toFixed(6), plain: plain[1].toFixed(6) });
  }
}

/** @param {number} x @param {string} are */
function drift(x, are) {
  if (Math.abs(x) < STILL) return `${are} left alone`;
  return x > 0 ? `${are} lifted by ${x.toFixed(3)}` : `${are} pushed down by ${(-x).toFixed(3)}`;
}

/** @param {number} x */
export function signed(x) {
  const text = Math.abs(x).toFixed(3);
  return Number(text) === 0 ? "0.000" : `${x > 0 ? "+" : "−"}${text}`;
}

/** @param {number} x @param {number} most @param {string} name */
function bar(x, most, name) {
  const node = make("i", { className: `${name} ${x >= 0 ? "is-up" : "is-down"}` });
  node.style.width = `${(Math.abs(x) / most) * 50}%`;
  return node;
}
