// @ts-check
// The panel about one token: its patch, its numbers at the step on screen, and its whole history.

import { find, make, makeSvg } from "../layout/dom.js";
import { editOf, toldEdit } from "../stage/run/edits.js";
import { MARK } from "../stage/canvas/colours.js";
import { capital, entropy, percent, place } from "../stage/run/words.js";
import { beforeAndAfter, crop, patchAt } from "./crop.js";
import { Lookup } from "./lookup.js";
import { Steps } from "./steps.js";

/** @typedef {import("../stage/run/run.js").Happened} Happened */

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
    this.steps = new Steps(stage, this.find(".cz-hint"), painter);
    const [lookup, near, say] = [".cz-lookup", ".cz-near", ".cz-lookup-say"].map((name) => this.find(name));
    this.lookup = new Lookup(lookup, near, say, server, choose, () => this.show());
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
    this.steps.show(!ready);
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
    const { p, label } = this.whose(token, byHand, masked);
    const judged = p !== null;
    if (this.root.dataset.cell !== String(cell)) this.root.scrollTop = 0; // another token is read from its top
    const where = capital(place(cell, run.columns));
    Object.assign(this.root.dataset, { cell: String(cell), probability: (p ?? 0).toFixed(4), token: String(token) });
    this.find(".cz-where").textContent = where;
    this.find(".cz-id").textContent = masked ? "masked" : `#${token}`;
    this.find(".cz-p-label").textContent = label;
    this.find(".cz-p").textContent = judged ? percent(p) : "–";
    this.find(".cz-p-fill").style.width = judged ? `${Math.max(p * 100, 0.5)}%` : "0";
    this.find(".cz-h").textContent = begun || frame.h[cell] ? entropy(frame.h[cell] / 1000) : "–";
    this.surroundings();
    this.changed();
    this.curve();
    this.history();
    const edit = editOf(run, k, cell);
    const what = masked ? "masked" : `token ${token}`;
    const told = edit && !byHand
      ? `edited, ${toldEdit(edit, run.maskId)}` : `${what}${byHand ? ", by hand" : ""}${judged ? `, ${percent(p)}` : ""}`;
    this.stage.emit("tell", `${where}: ${told}`);
  }

  /**
   * The large figure, and whose it is: the model's own at this step, of the token that stands there.
   * @param {number} token @param {boolean} byHand @param {boolean} masked @returns {{p: number | null, label: string}}
   */
  whose(token, byHand, masked) {
    const { frame, selected: cell, run } = this.stage;
    const recorded = frame.p[cell] / 65535;
    if (byHand && masked) return { p: null, label: `masked by hand; the model had #${frame.tokens[cell]} here` };
    if (byHand) {
      const own = frame.tokens[cell] === run.maskId ? "" : `; its own was #${frame.tokens[cell]}`;
      const p = this.lookup.probability(token);
      const said = p !== null ? "the model gives it this" : this.lookup.asked ? "not among the model's likeliest" : "the model is asked";
      return { p, label: `put here by hand, ${said}${own}` };
    }
    if (frame.phase === "start" && !masked) {
      // nobody had judged it when it came: the model is asked now
      const p = this.lookup.probability(token);
      return { p, label: p === null ? "given, not judged yet" : "given; what the model thinks of it, seeing it" };
    }
    if (frame.phase === "start" && !recorded) return { p: null, label: "not looked at yet" };
    return { p: recorded, label: masked ? "for the best guess" : "for this token" };
  }

  /** What the step on screen changed here: old patch -> new patch, and the numbers of both. */
  changed() {
    const { run, shown, selected } = this.stage;
    const edit = editOf(run, shown, selected);
    const node = this.find(".cz-changed");
    node.hidden = !edit;
    if (!edit) return;
    this.stage.want(run, shown - 1);
    const title = make("b", { textContent: `Edited at step ${shown}` });
    const words = make("span", { className: "cz-edit-words" }, title, toldEdit(edit, run.maskId));
    node.replaceChildren(beforeAndAfter(run, shown, selected, this.painter.slab, 72), words);
  }

  /** The decoded patch of the cell on the canvas with a margin of its neighbours. */
  surroundings() {
    const { draft, frame } = this.stage;
    const canvas = this.find(".cz-patch");
    const { run, selected } = this.stage;
    const of = { picture: draft?.image || frame.image, tokens: draft ? draft.tokens : frame.tokens, slab: this.painter.slab };
    crop(canvas, run, selected, of, 1);
    const ctx = canvas.getContext("2d");
    const [side, w] = [canvas.width / 3, canvas.width * 0.02];
    for (const [colour, width] of [[MARK.ink, w * 2], [MARK.halo, w]]) {
      ctx.lineWidth = width;
      ctx.strokeStyle = colour;
      ctx.strokeRect(side, side, side, side);
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
      this.stage.want(run, k);
      const swapped = kind === "edit" || kind === "remask";
      if (swapped) this.stage.want(run, k - 1);
      const thumb = (swapped ? beforeAndAfter : patchAt)(run, k, selected, this.painter.slab);
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
  return `#${event.from} edited to #${event.to}, ${share}`;
}
