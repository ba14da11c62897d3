// @ts-check
// The self-correction lab: asks for a breakage of the picture on the canvas, shows it heal pass by pass, keeps the counts.

import { find, findAll, make, until } from "../layout/dom.js";
import { rollSeed } from "../stage/ask/ask.js";
import { cellUnder, columnAndRow } from "../stage/run/cells.js";
import { MARK } from "../stage/canvas/colours.js";
import { Pair } from "./pair.js";

/**
 * See ui/learn/lab.py: `broken` are the cells broken, `off` and `on` those of them that came back.
 * @typedef {{error?: string, state: string, share: number, columns: number, broken: number[], passes: number,
 *   off: number[], on: number[], harmed: number, pictures?: Record<string, string>}} Told
 */

const ROWS_KEPT = 6;
const SHARE_SAVED = 10; // per cent broken for a file, where nothing was before
const GATHER_MS = 20_000; // that a file waits for it
const LEAST_PX = 256; // across, of the lab's pictures

/**
 * Pixels of a canvas that holds this picture: its own shape, and no smaller than it is.
 * @param {{naturalWidth: number, naturalHeight: number}} image
 */
export function sizeFor({ naturalWidth, naturalHeight }) {
  const width = Math.max(LEAST_PX, naturalWidth);
  return { width, height: Math.max(Math.round((width * naturalHeight) / naturalWidth), 1) };
}

/**
 * A ring inside a cell `side` pixels wide, in proportion to it: where it begins, its own size, its line and the light
 * one under that.
 * @param {number} side @param {boolean} mended
 */
export function ringIn(side, mended) {
  const unit = side / 16;
  const line = (mended ? 1.5 : 3) * unit;
  return { inset: 2 * unit, size: side - 4 * unit, line, under: line + 2 * unit };
}

export class Lab {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {{element: HTMLElement, props: any, trigger: (name: string, data: any) => void,
   *   watch: (name: string, call: () => void) => void, kept?: import("./lesson/recorder.js").Kept}} piece
   */
  constructor(stage, { element, props, trigger, watch, kept }) {
    this.stage = stage;
    this.element = element;
    this.trigger = trigger;
    this.buttons = findAll("[data-share]", element);
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
    for (const button of this.buttons) button.addEventListener("click", () => this.press(Number(button.dataset.share)));
    /** @type {Told[]} the passes of the last breakage, the broken picture first */
    this.passes = [];
    this.slider = this.find(".lab-passes input");
    this.slider.addEventListener("input", () => this.step(Number(this.slider.value)));
    for (const canvas of findAll("[data-picture]", element)) {
      canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => this.pick(canvas, event));
    }
    this.pointed = -1;
    this.pair = new Pair(stage, element);
    watch("value", () => { if (props.value) this.take(props.value); });
    if (kept) this.again(kept.live);
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** @param {number} share per cent */
  press(share) {
    const { run } = this.stage;
    if (this.element.dataset.state === "busy") return;
    if (!run || run.state === "running") return this.say("Make a picture first: press Generate and let it finish.");
    this.setBusy(true);
    this.say("Breaking …");
    this.stage.listening.expect();
    this.trigger("heal", { run: run.id, share, seed: rollSeed() });
  }

  /** @param {boolean} on */
  setBusy(on) {
    for (const button of this.buttons) button.disabled = on;
    this.element.dataset.state = on ? "busy" : "idle";
  }

  /** @param {string} words */
  say(words) {
    this.find(".cz-lab-say").textContent = words;
  }

  /** @param {Told} told */
  take(told) {
    this.stage.listening.heard();
    const { error, state, broken, on, off, passes, harmed, pictures } = told;
    if (state === "waiting") return this.say("Waiting for the model …");
    if (error || state !== "healing") this.setBusy(false);
    if (error) return this.say(error);
    if (!pictures) return this.say("Stopped.");
    this.keep(told);
    const share = (/** @type {number[]} */ { length }) => {
      return `${length} of ${broken.length}, ${Math.round((length / broken.length) * 100)} %`;
    };
    if (state === "healing") return this.say(`Pass ${passes}: ${share(on)} came back.`);
    const also = harmed ? ` It also changed ${harmed} that ${harmed === 1 ? "was" : "were"} whole.` : "";
    this.say(`${state === "stopped" ? "Stopped after" : "Done after"} ${passes} passes: ${share(on)} came back exactly.${also}`);
    const counts = { broken: broken.length, on: on.length, off: off.length, harmed };
    for (const [name, n] of Object.entries(counts)) this.element.dataset[name] = String(n);
    this.note(`${broken.length} (${told.share} %)`, share(off), share(on));
  }

  // ---- the four pictures in step ------------------------------------------------------------------------------

  /** In a file: what was broken when it was saved can be seen to heal again. @param {import("./lesson/recorder.js").Kept["live"]} live */
  again(live) {
    for (const button of this.buttons) {
      button.classList.toggle("is-kept", live.some(([, data]) => data.share === Number(button.dataset.share)));
    }
    for (const [, , messages] of live) for (const message of messages) this.take(message);
    if (!this.passes.length) this.say("Nothing had been broken when this file was saved.");
    this.pair.reopened();
  }

  /** For a saved lesson: where nothing was compared or broken yet, it is done now, so that the file has it to show. */
  async gather() {
    await this.pair.gather();
    const { run } = this.stage;
    if (this.passes.length || !run || run.state !== "done") return;
    if (this.element.dataset.state !== "busy") this.press(SHARE_SAVED);
    await until(() => this.element.dataset.state !== "busy", GATHER_MS);
  }

  /** A pass has come: the slider reaches one further, and shows it. @param {Told} told */
  keep(told) {
    if (told.passes === 0) this.passes = [{ ...told, on: [], pictures: { ...told.pictures, off: told.pictures.broken } }];
    const last = this.passes[this.passes.length - 1];
    if (told.passes > 0 && told.passes !== last?.passes) this.passes.push(told);
    else if (told.passes > 0) this.passes[this.passes.length - 1] = told;
    for (const name of [".cz-lab-pictures", ".lab-passes", ".lab-key"]) this.find(name).hidden = false;
    this.slider.max = String(Math.max(this.passes.length - 1, 1));
    this.slider.disabled = this.passes.length < 2;
    this.slider.value = String(this.passes.length - 1);
    this.step(this.passes.length - 1);
  }

  /** All four as they are after a pass. @param {number} i */
  step(i) {
    const told = this.passes[i];
    if (!told) return;
    this.find(".lab-pass").textContent = i ? `${told.passes} of ${this.passes.length - 1}` : "0: broken";
    Object.assign(this.element.dataset, { pass: String(i) });
    this.picture("whole", told, [], []);
    this.picture("broken", told, told.broken, []);
    this.picture("off", told, told.broken, told.off);
    this.picture("on", told, told.broken, told.on);
  }

  /** @param {HTMLCanvasElement} canvas @param {MouseEvent} event */
  pick(canvas, event) {
    const { run } = this.stage;
    const told = this.passes[this.passes.length - 1];
    if (!run || !told) return;
    this.pointed = cellUnder(canvas, event, { rows: Math.round((canvas.height / canvas.width) * told.columns), columns: told.columns });
    if (this.pointed >= 0 && this.pointed < run.cells) this.stage.select(this.pointed);
    this.step(Number(this.slider.value));
  }

  /** One row more in the table, at its top. @param {string} name @param {string[]} figures */
  note(name, ...figures) {
    const body = this.find("tbody");
    const cells = figures.map((textContent) => make("td", { textContent }));
    body.prepend(make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells));
    while (body.children.length > ROWS_KEPT) body.lastChild.remove();
    this.find(".cz-results").hidden = false;
  }

  /**
   * Thick dark rings are still wrong, thin blue ones came back; the cell that was picked has a light one of its own.
   * @param {string} name @param {Told} told @param {number[]} broken @param {number[]} mended
   */
  async picture(name, told, broken, mended) {
    const canvas = this.find(`[data-picture=${name}]`);
    const uri = told.pictures[name];
    if (!uri.startsWith("data:image/jpeg;base64,")) return;
    const image = this.images.get(name) || new Image();
    this.images.set(name, image);
    if (image.src !== uri) {
      image.src = uri;
      await image.decode().catch(() => {});
    }
    if (!image.naturalWidth) return; // could not be decoded
    const { width, height } = sizeFor(image);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const ctx = canvas.getContext("2d");
    const side = canvas.width / told.columns;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(image, 0, 0, canvas.width, canvas.height);
    for (const cell of broken) {
      const whole = mended.includes(cell);
      const { inset, size, line, under } = ringIn(side, whole);
      const [x, y] = columnAndRow(cell, { columns: told.columns, rows: 0 }).map((n) => n * side);
      for (const [colour, lineWidth] of [["rgba(255,255,255,.9)", under], [whole ? MARK.set : MARK.ink, line]]) {
        Object.assign(ctx, { strokeStyle: colour, lineWidth });
        ctx.strokeRect(x + inset, y + inset, size, size);
      }
    }
    if (this.pointed < 0) return;
    const [x, y] = columnAndRow(this.pointed, { columns: told.columns, rows: 0 }).map((n) => n * side);
    for (const [colour, lineWidth] of [[MARK.ink, side / 4], [MARK.halo, side / 8]]) {
      Object.assign(ctx, { strokeStyle: colour, lineWidth });
      ctx.strokeRect(x, y, side, side);
    }
  }
}
