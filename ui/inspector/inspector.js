// @ts-check
// The panel about one token: its patch, its numbers at the step on screen, and its whole history.

import { find, make, makeSvg } from "../layout/dom.js";
import { columnAndRow } from "../stage/run/cells.js";
import { MARK } from "../stage/canvas/colours.js";
import { capital, percent, place } from "../stage/run/words.js";
import { Lookup } from "./lookup.js";

/** @typedef {import("../stage/run/run.js").Happened} Happened */

const THUMB_PX = 32;

export class Inspector {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {HTMLElement} root
   * @param {Record<string, (data: any) => Promise<any>>} server
   * @param {import("../stage/canvas/paint.js").Painter} painter whose stone stands for masked cells
   * @param {(cell: number, token: number) => void} choose puts a token by hand
   */
  constructor(stage, root, server, painter, choose) {
    this.stage = stage;
    this.root = root;
    this.painter = painter;
    this.lookup = new Lookup(this.find(".cz-lookup"), this.find(".cz-lookup-say"), server, choose);
    this.find(".cz-close").addEventListener("click", () => { stage.select(-1); painter.canvas.focus(); });
    stage.on("change", () => this.show());
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.root);
  }

  show() {
    const { run, selected: cell, shown: k } = this.stage;
    const ready = Boolean(run) && cell >= 0;
    this.root.classList.toggle("is-empty", !ready);
    this.find(".cz-hint").hidden = ready;
    this.find(".cz-token").hidden = !ready;
    if (!ready) {
      this.lookup.hide();
      delete this.root.dataset.cell;
      return;
    }
    const { frame, tokens } = this.stage;
    const token = tokens[cell]; // with what was changed by hand
    const byHand = token !== frame.tokens[cell];
    const masked = token === run.maskId;
    const begun = frame.phase !== "start";
    this.lookup.show(run, k, cell, token);
    const p = byHand ? this.lookup.probability(token) : frame.p[cell] / 65535;
    const judged = p !== null && (byHand || begun || p > 0);
    const where = capital(place(cell, run.columns));
    Object.assign(this.root.dataset, { cell: String(cell), probability: (p ?? 0).toFixed(4), token: String(token) });
    this.find(".cz-where").textContent = where;
    this.find(".cz-id").textContent = masked ? "masked" : `#${token}`;
    this.find(".cz-p-label").textContent = byHand ? (masked ? "masked by hand" : "put here by hand")
      : !judged ? "not looked at yet" : masked ? "for the best guess" : "for this token";
    this.find(".cz-p").textContent = judged ? percent(p) : "–";
    this.find(".cz-p-fill").style.width = judged ? `${Math.max(p * 100, 0.5)}%` : "0";
    this.find(".cz-h").textContent = begun || frame.h[cell] ? `${(frame.h[cell] / 1000).toFixed(2)} nats` : "–";
    this.surroundings();
    this.curve();
    this.history();
    const what = masked ? "masked" : `token ${token}`;
    this.stage.emit("tell", `${where}: ${what}${byHand ? ", by hand" : ""}${judged ? `, ${percent(p)}` : ""}`);
  }

  /** The decoded patch of the cell on the canvas with a margin of its neighbours. */
  surroundings() {
    const { draft, frame } = this.stage;
    const canvas = this.find(".cz-patch");
    this.patch(canvas, draft?.image || frame.image, draft ? draft.tokens : frame.tokens, 1);
    const ctx = canvas.getContext("2d");
    const [side, w] = [canvas.width / 3, canvas.width * 0.02];
    for (const [colour, width] of [[MARK.ink, w * 2], [MARK.halo, w]]) {
      ctx.lineWidth = width;
      ctx.strokeStyle = colour;
      ctx.strokeRect(side, side, side, side);
    }
  }

  /**
   * Pixel for pixel; masked cells are stone.
   * @param {HTMLCanvasElement} canvas @param {HTMLImageElement | null} picture @param {Int32Array} tokens
   * @param {number} margin cells around the chosen one
   */
  patch(canvas, picture, tokens, margin) {
    const { run, selected } = this.stage;
    const ctx = canvas.getContext("2d");
    const [x, y] = columnAndRow(selected, run);
    const size = canvas.width / (1 + 2 * margin);
    ctx.imageSmoothingEnabled = false;
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    for (let dy = -margin; dy <= margin; dy++) {
      for (let dx = -margin; dx <= margin; dx++) {
        const [u, v] = [x + dx, y + dy];
        if (u < 0 || v < 0 || u >= run.columns || v >= run.rows) continue;
        const masked = tokens[v * run.columns + u] === run.maskId;
        const source = masked || !picture ? this.painter.slab : picture;
        const [width, height] = [source.width / run.columns, source.height / run.rows];
        ctx.drawImage(source, u * width, v * height, width, height, (dx + margin) * size, (dy + margin) * size, size, size);
      }
    }
  }

  /** Probability over the steps; thin while the cell was still masked and the figure only a guess. */
  curve() {
    const { run, selected: cell, shown } = this.stage;
    const last = Math.max(run.last, 1);
    const point = (/** @type {number} */ k) => [4 + (k / last) * 232, 44 - (run.frames[k].p[cell] / 65535) * 40];
    const [here] = point(shown);
    const nodes = [makeSvg("line", { x1: here, y1: 2, x2: here, y2: 46, class: "is-here" })];
    for (let k = 2; k <= run.last; k++) {
      const [x1, y1] = point(k - 1);
      const [x2, y2] = point(k);
      nodes.push(makeSvg("line", { x1, y1, x2, y2, class: run.isMasked(k - 1, cell) ? "is-guess" : "is-set" }));
    }
    for (const event of run.history(cell)) {
      if (event.kind === "start") continue;
      const [cx, cy] = point(event.k);
      nodes.push(makeSvg("circle", { cx, cy, r: 3.4, class: event.kind === "set" ? "is-set" : "is-edit" }));
    }
    this.find(".cz-curve").replaceChildren(...nodes);
  }

  history() {
    const { run, selected, shown } = this.stage;
    this.find(".cz-history").replaceChildren(...run.history(selected).map((event) => {
      const { k, kind } = event;
      const thumb = make("canvas", { width: THUMB_PX, height: THUMB_PX, "aria-hidden": "true" });
      this.stage.want(run, k);
      this.patch(thumb, run.frames[k].image, run.frames[k].tokens, 0);
      const step = make("b", { textContent: k === 0 ? "start" : `step ${k}` });
      const words = make("span", { textContent: sentence(event, run.maskId) });
      const button = make("button", { className: `cz-event is-${kind}`, onclick: () => this.stage.jump(k) }, thumb, step, words);
      button.classList.toggle("is-later", k > shown);
      button.classList.toggle("is-here", k === shown);
      return make("li", {}, button);
    }));
  }
}

/** @param {Happened} event @param {number} maskId */
function sentence(event, maskId) {
  const share = percent(event.p).replace(" ", "\u00a0"); // the sign stays with its figure
  if (event.kind === "start") return event.to === maskId ? "masked" : `given as #${event.to}`;
  if (event.kind === "set") return `set to #${event.to}, ${share}`;
  if (event.kind === "remask") return `#${event.from} back to masked`;
  return `edited to #${event.to}, ${share}`;
}
