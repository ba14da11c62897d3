// @ts-check
// Where the chosen cell looked in the pass behind the step on the stage: a heat map over the picture that the model saw,
// and the prompt's words by their shares.

import { find, isDark, make } from "../../layout/dom.js";
import { MARK } from "../../stage/canvas/colours.js";
import { columnAndRow } from "../../stage/run/cells.js";
import { percent, place } from "../../stage/run/words.js";
import { layersOf, reads, sharesOf, sum } from "./shares.js";

/** @typedef {import("./shares.js").Told} Told */
/** @typedef {import("./shares.js").Shares} Shares */

const REST_MS = 160; // how long step and cell must stay before the server is asked
const AGAIN_MS = 2000; // after a look that was refused
const GATHERED = 24; // cells in a saved lesson, besides the chosen one
const KEPT = 24;
const SIDE_PX = 480;
const HEAT = "232, 154, 34"; // red, green, blue: the mark of no other thing on the page

export class Attention {
  /**
   * @param {import("../../stage/stage.js").Stage} stage
   * @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece
   * @param {boolean} able whether the model tells where it looks
   */
  constructor(stage, { element, server }, able) {
    this.stage = stage;
    this.element = element;
    this.server = server;
    this.timer = 0;
    this.asking = false;
    this.layer = -1; // of all layers the mean
    /** @type {Map<string, Told>} */
    this.kept = new Map();
    /** @type {Told | null} */
    this.told = null;
    if (!able) {
      element.remove();
      return;
    }
    this.slider = this.find("input");
    this.slider.addEventListener("input", () => { this.layer = Number(this.slider.value) - 1; this.draw(); });
    for (const name of ["step", "select", "run", "done", "chapter", "chapter-part"]) stage.on(name, () => this.follow());
    new MutationObserver(() => this.draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** The part is open. */
  get seen() {
    return this.stage.task === "learn" && Boolean(this.find(".cz-attention-title").offsetParent);
  }

  /** The step that is told of: the one on the stage, or the first where nothing happened yet. */
  get k() {
    return Math.max(this.stage.shown, Math.min(1, this.stage.run?.last ?? 0));
  }

  /** The look at what is chosen now, once it has rested for a moment. */
  follow() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { if (this.seen) this.ask(); }, REST_MS);
  }

  async ask() {
    const { run, selected: cell } = this.stage;
    if (!run || cell < 0) return this.say("Pick a cell on the stage: here stands where it looked.");
    if (run.state === "running" || this.asking) return; // one look at a time: the end of it asks for what is chosen then
    const data = { run: run.id, step: this.k + run.offset, cell };
    const key = JSON.stringify(data);
    this.asking = true;
    const told = this.kept.get(key)
      ?? /** @type {Told} */ (await this.server.attend(data).catch(() => ({ error: "The studio did not answer." })));
    this.asking = false;
    if (!told.error) {
      this.kept.set(key, told);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    const now = this.stage.run === run && this.stage.selected === cell && this.k + run.offset === data.step;
    if (!now) return this.follow();
    if (told.error) {
      this.say(told.error);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => { if (this.seen) this.ask(); }, AGAIN_MS); // others were looking just then
      return;
    }
    this.told = told;
    this.draw();
  }

  /** For a saved lesson: the chosen cell and some all over the grid look at the step on the stage. */
  async gather() {
    const { run, selected } = this.stage;
    if (!run || !this.server) return;
    const some = Array.from({ length: GATHERED }, (_, i) => Math.floor(((i + 0.5) * run.cells) / GATHERED));
    for (const cell of [...(selected < 0 ? [] : [selected]), ...some]) {
      await this.server.attend({ run: run.id, step: this.k + run.offset, cell }).catch(() => {});
    }
  }

  /** @param {string} words */
  say(words) {
    this.told = null;
    this.find(".cz-attention-say").textContent = words;
    this.find(".cz-attention-told").hidden = true;
  }

  draw() {
    const { told } = this;
    const { run } = this.stage;
    if (!told || !run) return;
    const layers = layersOf(told);
    if (this.layer >= layers.length) this.layer = -1;
    const shares = sharesOf(told, this.layer);
    const where = place(told.cell, run.columns);
    this.find(".cz-attention-told").hidden = false;
    const step = this.k ? `step ${this.k}` : "the first step";
    this.find(".cz-attention-say").textContent = `Of ${where}, in the pass before ${step} was decided.`;
    Object.assign(this.slider, { max: String(layers.length), value: String(this.layer + 1) });
    const name = this.layer < 0 ? "all that read the prompt" : `${this.layer + 1} of ${layers.length}`;
    this.find("label b").textContent = name;
    this.slider.setAttribute("aria-valuetext", name);
    this.tell(shares, layers);
    this.words(told.names, shares);
    this.heat(shares.cells, told.cell);
    Object.assign(this.find(".cz-attention").dataset, { cell: String(told.cell), step: String(told.step), layer: String(this.layer) });
  }

  /** @param {Shares} shares @param {Shares[]} layers */
  tell(shares, layers) {
    const { columns } = this.stage.run;
    const [words, rest, cells] = [sum(shares.words), shares.rest, sum(shares.cells)];
    this.find(".cz-attention-split").textContent = reads(shares)
      ? `${percent(words)} to words, ${percent(cells)} to cells; ${percent(rest)} to the empty places after the prompt.`
      : "All of it to cells: this layer does not see the prompt.";
    for (const [part, share] of /** @type {[string, number][]} */ ([["words", words], ["rest", rest], ["cells", cells]])) {
      this.find(`.cz-attention-bar .is-${part}`).style.width = `${share * 100}%`;
    }
    const four = this.layer < 0 ? layers.some(reads) : reads(shares);
    this.find(".cz-attention-layer").textContent = four
      ? "Where words are read, 2 × 2 cells share one place: they look together, and are looked at together."
      : "After the body each cell stands for itself.";
    const best = shares.cells.indexOf(Math.max(...shares.cells));
    this.find(".cz-attention-grid").setAttribute("aria-label",
      `Heat map of the cells it looks at; most at ${place(best, columns)}, ${percent(shares.cells[best])}.`);
  }

  /** @param {string[]} names @param {Shares} shares */
  words(names, { words }) {
    const most = Math.max(...words, 1e-9);
    this.find(".cz-attention-words").replaceChildren(...names.map((name, i) => {
      const chip = make("li", {}, make("b", { textContent: name }), make("small", { textContent: percent(words[i]) }));
      chip.style.setProperty("--cz-share", String(Math.max(...words) > 0 ? words[i] / most : 0));
      return chip;
    }));
  }

  /** @param {number[]} cells @param {number} own */
  heat(cells, own) {
    const { told } = this;
    const { run } = this.stage;
    const canvas = this.find(".cz-attention-grid");
    const c = Math.max(Math.floor(SIDE_PX / Math.max(run.columns, run.rows)), 4);
    Object.assign(canvas, { width: c * run.columns, height: c * run.rows });
    const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const seen = run.frames[Math.max(this.k - 1, 0)]; // what the pass saw
    ctx.fillStyle = isDark() ? "#211e1a" : "#fbf9f5";
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    const picture = () => {
      for (let cell = 0; cell < run.cells; cell++) {
        const [x, y] = columnAndRow(cell, run).map((n) => n * c);
        if (seen.tokens[cell] !== run.maskId && seen.image) {
          const [w, h] = [seen.image.naturalWidth / run.columns, seen.image.naturalHeight / run.rows];
          ctx.globalAlpha = 0.45;
          ctx.drawImage(seen.image, (x / c) * w, (y / c) * h, w, h, x, y, c, c);
          ctx.globalAlpha = 1;
        } else {
          ctx.fillStyle = isDark() ? "rgba(255,255,255,.06)" : "rgba(60,45,30,.09)";
          ctx.fillRect(x + 0.5, y + 0.5, c - 1, c - 1);
        }
      }
      const most = Math.max(...cells);
      cells.forEach((share, cell) => {
        const [x, y] = columnAndRow(cell, run).map((n) => n * c);
        ctx.fillStyle = `rgba(${HEAT}, ${(0.9 * (share / most) ** 0.75).toFixed(3)})`;
        ctx.fillRect(x, y, c, c);
      });
      const [x, y] = columnAndRow(own, run).map((n) => n * c);
      for (const [colour, lineWidth] of /** @type {[string, number][]} */ ([[MARK.ink, c * 0.24], [MARK.halo, c * 0.1]])) {
        Object.assign(ctx, { strokeStyle: colour, lineWidth });
        ctx.strokeRect(x, y, c, c);
      }
    };
    picture();
    if (seen.settled) return;
    this.stage.want(run, Math.max(this.k - 1, 0));
    seen.ready.then(() => { if (this.told === told) this.draw(); });
  }
}
