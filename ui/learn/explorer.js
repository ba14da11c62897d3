// @ts-check
// The GCE explorer: a token, its group in the codebook at several sizes, and which way the two objectives pull.
// All figures come from the server, for every stop of the slider at once, so that moving it costs nothing.

import { find, findAll, make } from "../layout/dom.js";
import { patchButton, patchCanvas } from "../inspector/patches.js";
import { percent, place } from "../stage/run/words.js";

/** @typedef {{run: string, step: number, cell: number}} Place where the probabilities come from */
/**
 * See ui/learn/explorer.py.
 * @typedef {{token: number, size: number, sizes: number[], trained: number, cell: number, columns: number, step: number,
 *   prompt: string, members: [number, number][], p: number, mass: number, patches: Record<number, string>,
 *   pulls: [lambda: number, loss: number, exact: number, group: number, outside: number][],
 *   after: {ids: number[], inside: number, p: number[], by: number[][]}}} Told
 *
 * @typedef {{error?: string, levels: number[], place: number[], along: number[], rows: number[][], inside: number[],
 *   patches: Record<number, string>}} Plane
 */

const MANY = 16; // members from here on are small and bear no figures
const GATHERED = 8; // members of a group that a saved lesson can go on to
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
    /** @type {string | null | undefined} the run whose tokens are offered */
    this.of = undefined;
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
      else if (name !== "neighbours" && this.pointing) this.point(false);
    });
    this.pointing = false;
    this.slider.addEventListener("input", () => this.pull());
    this.along = [0, 1]; // dimensions of the lattice that are drawn
    for (const select of findAll("[data-along]", element)) select.addEventListener("change", () => this.turn(select));
    this.find("[data-explore=more]").addEventListener("click", () => { this.page += 1; this.handful(); });
    this.find("[data-explore=cell]").addEventListener("click", () => this.explore({ place: this.chosen, token: null }));
    this.find("[data-explore=neighbour]").addEventListener("click", () => this.suppose());
    for (const name of ["select", "run", "step"]) stage.on(name, () => { this.offer(); this.whose(); });
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
    const { asked } = this;
    const told = await this.server.handful({ ...this.picture, page: this.page });
    if (told.error) return this.say(told.error);
    this.find(".cz-from").textContent = this.picture.run ? "Tokens of this picture" : "Tokens of the codebook";
    this.find(".cz-handful").replaceChildren(...told.tokens.map((/** @type {number} */ id) => patchButton(told.patches[id], "", {
      "aria-label": `Token ${id}`,
      "aria-pressed": String(id === this.token),
      "data-token": id,
      onclick: () => this.explore({ token: id, place: null }),
    })));
    // another picture begins with an example of its own, unless the visitor chose one while its tokens came
    const fresh = this.of !== this.picture.run;
    this.of = this.picture.run;
    if (this.asked === asked && (fresh || this.token === null)) await this.explore({ token: null, place: null });
  }

  /**
   * @param {{token?: number | null, size?: number, place?: Place | null}} change
   * @param {number | null} at the cell of the first look, null for the one where the token's neighbours matter most
   * @returns {Promise<void>}
   */
  async explore(change, at = null) {
    Object.assign(this, change);
    const mine = ++this.asked;
    const where = this.place || (at === null ? { run: this.picture.run } : { run: this.picture.run, at });
    const told = await this.server.explore({ ...where, token: this.token, size: this.size });
    if (mine !== this.asked) return;
    if (told.error) return this.place ? this.explore({ place: null }) : this.say(told.error);
    Object.assign(this, { told, token: told.token, size: told.size });
    this.draw();
  }

  /** For a saved lesson: the tokens offered, each with its group and its plane, and the other sizes of this one. */
  async gather() {
    const { told } = this;
    if (!told) return;
    const ids = findAll(".cz-handful button", this.element).map((button) => Number(button.dataset.token));
    const run = { run: this.picture.run };
    // what a file asks first, whatever was looked at here before
    await this.server.handful({ ...this.picture, page: 0 }).catch(() => {});
    const first = await this.server.explore({ ...run, token: null, size: null }).catch(() => null);
    const opened = first?.token === undefined ? told : /** @type {Told} */ (first);
    const near = opened.members.slice(0, GATHERED).map(([id]) => id);
    const asks = [...new Set([...ids, ...near])].map((token) => ({ token, size: opened.size }));
    for (const size of opened.sizes) asks.push({ token: opened.token, size });
    for (const ask of asks) {
      await this.server.explore({ ...run, ...ask }).catch(() => {});
      if (near.includes(ask.token)) await this.server.explore({ ...run, at: opened.cell, ...ask }).catch(() => {});
      await this.server.lattice({ ...ask, along: this.along }).catch(() => {});
    }
  }

  /** The likeliest of the neighbours in the place of the right token: what then becomes of the one the model would choose? */
  suppose() {
    const other = this.told?.members.find(([id]) => id !== this.told.token);
    if (other) this.explore({ token: other[0] }, this.here);
  }

  /** Another group of the same token at the same cell. The buttons of the sizes are new then: the keyboard stays where it
   * was. @param {number} size */
  async resize(size) {
    await this.explore({ size }, this.here);
    this.find(".cz-sizes [aria-pressed=true]").focus({ preventScroll: true });
  }

  /** The cell of the first look that is told of, to be asked for again; null where a place is. @returns {number | null} */
  get here() {
    return this.place || !this.told ? null : this.told.cell;
  }

  /** The cell that is told of, ringed on the stage while this chapter is open. @param {boolean} on */
  point(on) {
    this.pointing = on;
    this.stage.point(on && this.told ? [this.told.cell] : [], true);
    this.whose();
  }

  /** Which frame on the stage is which. */
  whose() {
    const { told, stage } = this;
    this.find(".ex-whose").hidden = !told || !stage.run;
    if (!told) return;
    const other = stage.selected >= 0 && stage.selected !== told.cell;
    this.find(".ex-whose-other").hidden = !other;
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
        onclick: () => this.explore({ token: id }, this.here),
      });
      button.classList.toggle("is-here", id === told.token);
      return button;
    }));
    const at = place(told.cell, told.columns);
    const where = this.place ? `At ${at}, step ${told.step},` : `At its first look for “${told.prompt}”, ${at},`;
    const shares = `this token ${percent(told.p)} and its group of ${told.size} together ${percent(told.mass)}`;
    const { run } = this.stage;
    const drawn = !this.place && this.picture.run ? run.frames[run.last].tokens[told.cell] : told.token;
    const instead = drawn === told.token ? "" : ` In the end #${drawn} was set there.`;
    this.say(`${where} the model gives ${shares}.${instead}`);
    Object.assign(this.element.dataset, { token: String(told.token), size: String(told.size), cell: String(told.cell) });
    if (this.isOpen) this.point(true);
    this.pull();
    this.lattice();
  }

  // ---- the codebook as its lattice ----------------------------------------------------------------------------

  /** Another dimension to draw along; the two never are the same. @param {HTMLSelectElement} select */
  turn(select) {
    const i = Number(select.dataset.along);
    const chosen = Number(select.value);
    if (this.along[1 - i] === chosen) this.along[1 - i] = this.along[i];
    this.along[i] = chosen;
    this.lattice();
  }

  async lattice() {
    const { token, size } = this.told;
    const plane = /** @type {Plane} */ (await this.server.lattice({ token, size, along: this.along })
      .catch(() => ({ error: "The studio did not answer." })));
    if (this.told.token !== token || this.told.size !== size) return;
    this.find(".ex-lattice").hidden = !plane.levels?.length;
    if (!plane.levels?.length) return;
    const inside = new Set(plane.inside);
    findAll("[data-along]", this.element).forEach((select, i) => {
      select.replaceChildren(...plane.levels.map((n, d) => make("option", {
        value: String(d), textContent: `dial ${d + 1} (${n})`, selected: d === plane.along[i],
      })));
    });
    const focused = find(":focus", this.find(".ex-plane"))?.dataset.at;
    const box = this.find(".ex-plane");
    box.style.setProperty("--ex-columns", String(plane.rows[0].length));
    box.replaceChildren(...plane.rows.flatMap((row, y) => row.map((id, x) => {
      const button = patchButton(plane.patches[id], "", {
        "aria-label": `Token ${id}${inside.has(id) ? ", of the same group" : ""}`,
        "aria-pressed": String(id === token),
        title: `#${id}`,
        "data-at": `${x} ${y}`,
        onclick: () => this.explore({ token: id }),
      });
      button.classList.toggle("is-inside", inside.has(id));
      button.classList.toggle("is-here", id === token);
      return button;
    })));
    if (focused) find(`[data-at="${focused}"]`, box)?.focus({ preventScroll: true });
    const n = inside.size;
    this.find(".ex-plane-say").textContent = "Every field is a token of the codebook, neighbours side by side; all other dials "
      + `stand as for this token. ${n} of its group of ${size} lie in this plane, on the blue ground.`;
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
    this.after(weight);
  }

  /** The chances of a few tokens before and after a step, plain and with the group. @param {string} weight */
  after(weight) {
    const { ids, inside, p, by } = this.told.after;
    const [plain, grouped] = [by[0], by[Number(this.slider.value)]];
    const most = Math.max(...p, ...plain, ...grouped, 1e-9);
    this.find(".ex-after-lambda").textContent = `after, λ = ${weight}`;
    find("tbody", this.find(".ex-after")).replaceChildren(...ids.map((id, i) => {
      const name = id === this.told.token ? "right" : i < inside ? "neighbour" : "other";
      const bars = make("td", { className: "ex-bars" }, part(p[i], most, "is-before"), part(plain[i], most, "is-plain"),
        part(grouped[i], most, "is-grouped"));
      const figures = [p[i], plain[i], grouped[i]].map((x) => make("td", { textContent: percent(x) }));
      return make("tr", { className: `is-${name}` }, make("th", { scope: "row" }, patchCanvas(this.told.patches[id]),
        make("span", { textContent: `#${id} ${name}` })), bars, ...figures);
    }));
    const sum = (/** @type {number[]} */ all, /** @type {number} */ from) => all.slice(from, inside).reduce((a, b) => a + b, 0);
    const [before, then, now] = [p, plain, grouped].map((all) => sum(all, 1));
    const right = ids.indexOf(this.told.token);
    // the term lifts the right token too, so a neighbour gains against all other wrong tokens even where its own chance falls
    const shares = [p, plain, grouped].map((all) => sum(all, 1) / Math.max(1 - all[right], 1e-9));
    const some = inside < this.told.members.length ? `Its ${inside - 1} likeliest neighbours` : "Its neighbours";
    const near = inside === 2 ? "Its neighbour" : some;
    const had = `${near} had ${percent(before)}${inside === 2 ? "" : " together"}`;
    this.find(".ex-after-say").textContent = `Suppose token #${this.told.token} is right here, and training takes one step on this `
      + `cell alone. ${had}; ${inside === 2 ? "it has" : "they have"} ${percent(then)} after a plain step, and ${percent(now)} after `
      + `one with the group at λ = ${weight}.`;
    this.find(".ex-when").textContent = rising(this.told, Number(weight), before, now);
    const figures = { before: before.toFixed(7), then: then.toFixed(7), now: now.toFixed(7), shares: shares.join(" ") };
    Object.assign(this.element.dataset, figures);
  }
}

/**
 * When neighbours are lifted at all, and whether they are here: the sign of the pull on each of them is that of
 * λ / P - (1 + λ), where P is what their whole group has.
 * @param {Told} told @param {number} lambda @param {number} before what they had @param {number} now after a step with λ
 */
function rising({ mass }, lambda, before, now) {
  if (!lambda) return "With λ = 0 this is plain cross-entropy, which lifts no neighbour.";
  const most = lambda / (1 + lambda);
  const [they, lifted] = ["Neighbours are lifted where the model gives their whole group", mass < most];
  const rule = `${they} less than λ / (1 + λ), here ${percent(most)}. It gives ${percent(mass)}`;
  if (!lifted) return `${rule}: they are pushed down, but less than by the plain step${now > before ? "; other tokens lose more" : ""}.`;
  return `${rule}: they are lifted${now < before ? ", but the right token rises faster" : ""}.`;
}

/** @param {number} p @param {number} most @param {string} className */
function part(p, most, className) {
  const node = make("i", { className });
  node.style.width = `${(p / most) * 100}%`;
  return node;
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
