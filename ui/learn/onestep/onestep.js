// @ts-check
// The chapter on one step: six parts from prompt to pixels, each with a small picture of the step on the stage, each of
// which opens. Parts of others (sections with data-part) open with them, see learn/place/place.js.

import { find, findAll, isDark, make, makeSvg } from "../../layout/dom.js";
import { patchCanvas } from "../../inspector/patches.js";
import { MARK, STONE } from "../../stage/canvas/colours.js";
import { capital, count, percent, place } from "../../stage/run/words.js";

/** @typedef {import("../../stage/run/run.js").Run} Run */
/** @typedef {import("../../stage/run/run.js").Frame} Frame */
/**
 * See ui/learn/onestep/onestep.py.
 * @typedef {{error?: string, pieces: string[] | null, sizes: Record<string, number>}} About
 * @typedef {{error?: string, guidance: number, with: [number, number][], without: [number, number][] | null,
 *   patches: Record<number, string>}} Chances
 */

const REST_MS = 140; // how long step and cell must stay before the server is asked
const EDITS_TOLD = 12;
const KEPT = 120;

/** The stone of the stage, as one colour. */
const stone = () => `rgb(${STONE[isDark() ? "dark" : "light"].base.join(",")})`;

export class OneStep {
  /**
   * @param {import("../../stage/stage.js").Stage} stage
   * @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece
   */
  constructor(stage, { element, server }) {
    this.stage = stage;
    this.element = element;
    this.server = server;
    this.open = false;
    this.part = "chances";
    this.met = ""; // the run that this chapter has taken to a step in the middle
    this.middle = -1; // that step
    this.timer = 0;
    /** @type {Map<string, About | Chances>} */
    this.kept = new Map();
    for (const button of findAll("[data-part]", element)) button.addEventListener("click", () => this.choose(button.dataset.part));
    this.find(".os-prev").addEventListener("click", () => stage.jump(this.k - 1));
    this.find(".os-next").addEventListener("click", () => stage.jump(this.k + 1));
    stage.on("chapter", (name) => this.turn(name === "step"));
    for (const name of ["step", "select", "run", "done"]) stage.on(name, () => this.show());
    this.stack();
    this.choose(this.part);
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** The step that is told of: the one on the stage, or the first where nothing happened yet. */
  get k() {
    return Math.max(this.stage.shown, Math.min(1, this.stage.run?.last ?? 0));
  }

  /** @param {boolean} open */
  turn(open) {
    this.open = open;
    if (!open) return this.leave();
    this.stage.emit("chapter-part", this.part);
    const { run } = this.stage;
    const settled = run && run.state !== "running" && this.stage.shown === run.last;
    if (settled && this.met !== run.id && run.last > 3 && run.planned) {
      this.met = run.id;
      this.middle = Math.round(Math.min(run.planned, run.last) / 2);
      this.stage.jump(this.middle); // at the end nothing is left to decide
      this.unsure();
    }
    this.show();
  }

  /** The other chapters look at the finished picture: whoever did not go elsewhere is taken back there. */
  leave() {
    const { run, shown } = this.stage;
    if (run && run.id === this.met && shown === this.middle) this.stage.jump(run.last);
    this.middle = -1;
    this.met = "";
  }

  /** A cell worth asking about, where none is chosen: of those set in this step the least sure. */
  unsure() {
    const { stage } = this;
    const { run } = stage;
    const frame = run.frames[this.k];
    if (stage.selected >= 0 || !frame.set.length) return;
    stage.select(frame.set.reduce((least, cell) => (frame.p[cell] < frame.p[least] ? cell : least), frame.set[0]));
  }

  /** Opens a part, and closes it again. @param {string} part */
  choose(part) {
    for (const button of findAll("[data-part]", this.element)) {
      button.setAttribute("aria-expanded", String(button.dataset.part === part));
    }
    for (const about of findAll("[data-about]", this.element)) about.hidden = about.dataset.about !== part;
    this.part = part;
    if (this.open) this.stage.emit("chapter-part", part);
    this.show();
  }

  show() {
    const { run } = this.stage;
    if (!this.open || !run) return;
    const { k } = this;
    const frame = run.frames[k];
    const before = run.frames[Math.max(k - 1, 0)];
    this.find(".os-step").textContent = capital(run.describe(k).split(" · ")[0]);
    this.find(".os-prev").disabled = k <= 1;
    this.find(".os-next").disabled = k >= run.last;
    this.cells(run, before);
    this.decide(run, frame, before);
    this.pixels(run, frame);
    clearTimeout(this.timer);
    if (run.state !== "running") this.timer = setTimeout(() => this.ask(run, k), REST_MS);
  }

  // ---- what the browser knows ---------------------------------------------------------------------------------

  /** @param {Run} run @param {Frame} before */
  cells(run, before) {
    const n = before.masked;
    this.find(".os-cells-n").textContent = `${n} of ${run.cells} stone`;
    this.find(".os-cells-say").textContent = `Before this step ${n} of the ${run.cells} cells are masked and ${run.cells - n} hold `
      + "a token. The model reads all of them at once, and is asked about all of them: about the masked ones what they should "
      + "become, about the others whether it would put them there again.";
    this.mini("cells", run, before, (cell) => (before.tokens[cell] === run.maskId ? stone() : null));
  }

  /** Whether edits of this step put the mask back, as one of the editing modes does. @param {Frame} frame @param {Run} run */
  masks(frame, run) {
    return frame.edited.some(({ to }) => to === run.maskId);
  }

  /** @param {Run} run @param {Frame} frame @param {Frame} before */
  decide(run, frame, before) {
    const set = new Set(frame.set);
    const edited = new Map(frame.edited.map((edit) => [edit.at, edit]));
    const became = this.masks(frame, run) ? "masked again" : "replaced";
    this.find(".os-decide-n").textContent = `${frame.set.length} set, ${frame.edited.length} ${became}`;
    this.find(".os-decide-say").textContent = before.masked
      ? `The schedule asks for ${count(frame.set.length, "token")} in this step, of ${before.masked} that are masked: few at first, `
        + "when little is known, and many at the end."
      : "Nothing is masked any more: this is a polish pass, in which the model only looks again and can replace tokens.";
    this.mini("decide", run, frame, (cell) => {
      if (edited.has(cell)) return MARK.edit;
      return set.has(cell) ? MARK.set : before.tokens[cell] === run.maskId ? stone() : null;
    });
    this.sorted(run, frame, before, set);
    const n = frame.edited.length;
    this.find(".os-edits-say").textContent = n ? `${count(n, "token")} that stood there already ${n === 1 ? "is" : "are"} ${became}:`
      : this.stage.revises ? "No token that stood there already is replaced in this step."
      : "This model never replaces a token that stands there.";
    this.find(".os-edits").replaceChildren(...frame.edited.slice(0, EDITS_TOLD).map(({ at, from, to }) => make("li", {},
      make("button", {
        className: "cz-link",
        textContent: `${place(at, run.columns)}: #${from} → ${to === run.maskId ? "mask" : `#${to}`}`,
        onclick: () => this.stage.select(at),
      }))));
  }

  /**
   * How sure the model was of each masked cell, the surest first.
   * @param {Run} run @param {Frame} frame @param {Frame} before @param {Set<number>} set
   */
  sorted(run, frame, before, set) {
    const canvas = this.find(".os-sorted canvas");
    const masked = [...before.tokens.keys()].filter((cell) => before.tokens[cell] === run.maskId);
    this.find(".os-sorted").hidden = !masked.length;
    if (!masked.length) return;
    masked.sort((a, b) => frame.p[b] - frame.p[a]);
    const ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    const wide = canvas.width / masked.length;
    masked.forEach((cell, i) => {
      const high = Math.max((frame.p[cell] / 65535) * canvas.height, 1);
      ctx.fillStyle = set.has(cell) ? MARK.set : stone();
      ctx.fillRect(i * wide, canvas.height - high, Math.max(wide - (wide > 3 ? 1 : 0), 0.5), high);
    });
    const at = masked.length > 1 ? masked.filter((cell) => set.has(cell)).map((cell) => frame.p[cell] / 65535) : [];
    const least = at.length ? `, the least sure of those set ${percent(Math.min(...at))}` : "";
    this.find(".os-sorted").setAttribute("aria-label",
      `Confidence of ${count(masked.length, "masked cell")}: ${set.size} set in this step${least}.`);
  }

  /** @param {Run} run @param {Frame} frame */
  pixels(run, frame) {
    const set = run.cells - frame.masked;
    this.find(".os-pixels-n").textContent = `${set} of ${run.cells} decided`;
    this.find(".os-pixels-say").textContent = `After step ${this.k} the decoder turns ${count(set, "token")} into pixels, each of them `
      + "together with its neighbours, so that no seams show.";
    this.mini("pixels", run, frame, (cell) => (frame.tokens[cell] === run.maskId ? stone() : null));
  }

  /**
   * A small picture of a step, with cells in a colour where there is one.
   * @param {string} name @param {Run} run @param {Frame} frame @param {(cell: number) => string | null} colour
   */
  mini(name, run, frame, colour) {
    const canvas = this.find(`[data-mini=${name}]`);
    const ctx = canvas.getContext("2d");
    const side = 96 / Math.max(run.rows, run.columns);
    Object.assign(canvas, { width: Math.round(side * run.columns), height: Math.round(side * run.rows) });
    const draw = () => {
      ctx.fillStyle = stone();
      ctx.fillRect(0, 0, canvas.width, canvas.height);
      if (frame.image) ctx.drawImage(frame.image, 0, 0, canvas.width, canvas.height);
      for (let cell = 0; cell < run.cells; cell++) {
        const given = colour(cell);
        if (!given) continue;
        ctx.fillStyle = given;
        ctx.fillRect((cell % run.columns) * side, Math.floor(cell / run.columns) * side, side, side);
      }
    };
    draw();
    if (!frame.settled) frame.ready.then(draw);
  }

  /** The transformer as a small stack of layers. */
  stack() {
    const layers = Array.from({ length: 6 }, (_, i) => makeSvg("rect", { x: 14, y: 78 - i * 13, width: 68, height: 9, rx: 2 }));
    this.find("svg.os-mini").append(...layers);
  }

  // ---- what the server knows ----------------------------------------------------------------------------------

  /** @template T @param {string} name @param {any} data @returns {Promise<T & {error?: string}>} */
  async told(name, data) {
    const key = `${name} ${JSON.stringify(data)}`;
    const kept = this.kept.get(key);
    if (kept) return /** @type {any} */ (kept);
    const answer = await this.server[name](data).catch(() => ({ error: "The studio did not answer." }));
    if (!answer.error) {
      this.kept.set(key, answer);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return answer;
  }

  /** @param {Run} run @param {number} k */
  async ask(run, k) {
    const about = /** @type {About} */ (await this.told("about", { run: run.id }));
    if (this.stage.run !== run) return;
    if (!about.error) this.tellAbout(about);
    const cell = this.stage.selected;
    if (cell < 0) return this.sayChances("Pick a cell on the stage: here stands what the model thought of it.");
    const chances = /** @type {Chances} */ (await this.told("chances", { run: run.id, step: k + run.offset, cell }));
    if (this.stage.run !== run || this.k !== k || this.stage.selected !== cell) return;
    if (chances.error) return this.sayChances(chances.error);
    this.tellChances(run, cell, chances);
  }

  /** For a saved lesson: the chances of the chosen cell at every step. */
  async gather() {
    const { run, selected } = this.stage;
    await this.server.about({ run: run.id }).catch(() => {});
    for (let k = 1; k <= run.last && selected >= 0; k++) {
      await this.server.chances({ run: run.id, step: k + run.offset, cell: selected }).catch(() => {});
    }
  }

  /** @param {About} about */
  tellAbout({ pieces, sizes }) {
    this.find(".os-words-n").textContent = pieces ? count(pieces.length, "text token") : "your prompt";
    this.find(".os-pieces").replaceChildren(...(pieces ?? []).map((piece) => make("li", { textContent: piece.trim() || "␣" })));
    this.find(".os-pieces-none").hidden = Boolean(pieces);
    this.find(".os-mini-words").textContent = (pieces ?? [this.stage.run.prompt]).join("").trim().slice(0, 48);
    const { depth, width, heads, parameters } = sizes;
    this.find(".os-layers-n").textContent = depth ? count(depth, "layer") : "many layers";
    const facts = [
      depth && `${count(depth, "layer")}`, width && `rows of ${width} numbers`, heads && count(heads, "attention head"),
      parameters && `${(parameters / 1e6).toFixed(parameters < 1e7 ? 1 : 0)} million weights`,
    ].filter(Boolean).join(", ");
    this.find(".os-layers-say").textContent = "A transformer turns what it read into an opinion about every cell"
      + `${facts ? `: here ${facts}` : ""}.`;
  }

  /** @param {string} words */
  sayChances(words) {
    this.find(".os-chances-say").textContent = words;
    for (const table of findAll(".os-table", this.element)) table.hidden = true;
    this.find(".os-guide").textContent = "";
    this.find(".os-chances-n").textContent = "for each cell";
    this.find(".os-mini-chances").replaceChildren();
  }

  /** @param {Run} run @param {number} cell @param {Chances} chances */
  tellChances(run, cell, chances) {
    const at = place(cell, run.columns);
    this.find(".os-chances-n").textContent = at;
    this.find(".os-mini-chances").replaceChildren(...chances.with.map(([, p]) => {
      const bar = make("i");
      bar.style.width = `${Math.max(p * 100, 1)}%`;
      return bar;
    }));
    const all = run.maskId.toLocaleString("en");
    this.find(".os-chances-say").textContent = `For every cell there is a chance for each of the ${all} tokens. `
      + `These are the likeliest at ${at}, before anything is decided.`;
    const [first, second] = findAll(".os-table", this.element);
    const g = chances.guidance;
    this.table(first, chances, chances.with, g ? `with guidance ${g}: what it draws from` : "what it draws from");
    second.hidden = !chances.without;
    if (chances.without) this.table(second, chances, chances.without, "without guidance");
    this.find(".os-guide").textContent = g
      ? `Guidance compares what the model says with your prompt and without any. The difference that the prompt makes is then `
        + `made larger: it counts 1 + ${g} = ${1 + g} times.` : "";
  }

  /** @param {HTMLElement} table @param {Chances} chances @param {[number, number][]} rows @param {string} caption */
  table(table, chances, rows, caption) {
    table.hidden = false;
    find("caption", table).textContent = caption;
    find("tbody", table).replaceChildren(...rows.map(([id, p]) => {
      const bar = make("i");
      bar.style.width = `${p * 100}%`;
      return make("tr", {}, make("td", {}, patchCanvas(chances.patches[id])), make("th", { scope: "row", textContent: `#${id}` }),
        make("td", { className: "os-bar" }, bar), make("td", { textContent: percent(p) }));
    }));
  }
}
