// @ts-check
// Saves the open chapter as one file: the page's template from the server, filled here with the visitor's own runs and
// with all that was looked at. Pictures shrink until the file is light enough to be handed to a class.

import { download } from "../../export/export.js";
import { find } from "../../layout/dom.js";
import { pack } from "../../stage/run/bytes.js";
import { folded, packed } from "./packed.js";

/** @typedef {import("../../stage/run/run.js").Run} Run */
/** @typedef {{gather?: () => Promise<void>}} Gathers a chapter's script that can ask for more before it is saved */

const MOST_BYTES = 3_000_000;
const DATA = "%chisel-data%";
const RUNS_SAVED = 6; // besides the one on the stage
const PICTURE_MS = 6000; // how long a step's missing picture is waited for
const GATHER_MS = 40_000; // and everything else that the chapter wants to have along
/** Pixels across and quality of the pictures, and how many of the other runs come along: the first that fits is taken. */
const SIZES = [[0, 0, RUNS_SAVED], [512, 0.85, RUNS_SAVED], [384, 0.8, 3], [256, 0.75, 1], [192, 0.65, 0], [128, 0.5, 0]];
const PICTURE = "data:image/jpeg;base64,";

export class LessonSaver {
  /**
   * @param {import("../../stage/stage.js").Stage} stage
   * @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece
   * @param {import("./recorder.js").Recorder} recorder
   * @param {Map<string, Gathers>} chapters the scripts of the chapters, by the names of their pieces
   * @param {import("../../layout/facts.js").Facts} model
   */
  constructor(stage, { element, server }, recorder, chapters, model) {
    this.stage = stage;
    this.server = server;
    this.recorder = recorder;
    this.chapters = chapters;
    this.model = model;
    this.chapter = "";
    this.busy = false;
    this.button = find(".ls-save", element);
    this.line = find(".ls-say", element);
    this.button.addEventListener("click", () => this.save());
    stage.on("chapter", (name) => { if (name) this.chapter = name; this.say(""); this.refresh(); });
    stage.on("change", () => this.refresh());
  }

  refresh() {
    const { run, free } = this.stage;
    this.button.disabled = this.busy || !run || !free || !run.frames.length;
    this.button.hidden = this.chapter === "lessons";
  }

  /** @param {string} words */
  say(words) {
    this.line.textContent = words;
  }

  async save() {
    this.busy = true;
    this.refresh();
    try {
      await this.make();
    } catch {
      this.say("That did not arrive: try again.");
    }
    this.busy = false;
    this.refresh();
  }

  async make() {
    this.say("Gathering what belongs to it …");
    const told = await this.server.lesson({ chapter: this.chapter });
    if (told.error) return this.say(told.error);
    const names = [...told.page.matchAll(/data-piece="([a-z_-]+)"/g)].map((found) => found[1]);
    await Promise.race([Promise.all(names.map((name) => this.chapters.get(name)?.gather?.())), rest(GATHER_MS)]);
    await this.pictures();
    this.say("Packing …");
    const bare = told.page.length - DATA.length;
    for (const [side, quality, others] of SIZES) {
      const data = await packed(await shrunk(folded(this.data(names, others)), side, quality));
      if (bare + data.length > MOST_BYTES) continue;
      // a function: "$" in a text would otherwise mean something
      const page = told.page.replace(DATA, () => data);
      const bytes = new TextEncoder().encode(page);
      if (bytes.length > MOST_BYTES) continue;
      download({ name: told.name, type: "text/html", bytes });
      return this.say(`Saved ${told.name}, ${(bytes.length / 1e6).toFixed(1)} MB. It opens in any browser, without a server.`);
    }
    this.say("This run is too long for a file of 3 MB: carve one in fewer steps, and save that.");
  }

  /** Steps that came without their pictures get them, as far as the server answers in time. */
  async pictures() {
    const { run, beside } = this.stage;
    for (const one of [run, beside]) {
      for (const [k, frame] of (one?.frames ?? []).entries()) {
        if (!frame.late) continue;
        this.stage.want(one, k);
        await Promise.race([frame.ready, rest(PICTURE_MS)]);
      }
    }
  }

  /** @param {string[]} names of the chapter's pieces @param {number} others runs besides those on the stage */
  data(names, others) {
    const { run, beside, shelf, shown, selected } = this.stage;
    const more = shelf.runs.filter((one) => one !== run && one !== beside && one.state === "done").slice(0, others);
    return {
      v: 1,
      model: this.model,
      chapter: this.chapter,
      dark: document.body.classList.contains("dark"),
      runs: [run, ...more].map((one) => wire(one)),
      beside: beside && { ...wire(beside), role: "beside" },
      step: shown,
      cell: selected,
      pieces: Object.fromEntries(names.map((name) => [name, this.recorder.kept(name)])),
    };
  }
}

/** @param {number} ms @returns {Promise<void>} */
const rest = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** A run as it came over the wire, whole; see ui/server/frames.py. @param {Run} run */
export function wire(run) {
  return {
    v: 1, run: run.id, state: run.state === "running" ? "stopped" : run.state, role: "main", kind: run.kind, seed: run.seed,
    prompt: run.prompt, settings: run.settings, grid: [run.rows, run.columns], vocab: run.maskId, planned: run.planned,
    parent: run.parent, prefix: run.offset, ground: run.ground,
    frames: run.frames.map((frame, k) => ({
      k: k + run.offset,
      phase: frame.phase,
      ms: frame.ms,
      tokens: pack(frame.tokens, Int32Array),
      set: pack(frame.set, Uint16Array),
      edited: pack(frame.edited.flatMap(({ at, from, to }) => [at, from, to]), Int32Array),
      p: pack(frame.p, Uint16Array),
      h: pack(frame.h, Uint16Array),
      locked: pack(frame.locked, Uint8Array),
      image: frame.image?.src ?? "",
    })),
  };
}

/**
 * The pictures among the texts no wider than `side`; 0 leaves them.
 * @param {import("./packed.js").Folded} data @param {number} side @param {number} quality
 */
async function shrunk(data, side, quality) {
  if (!side) return data;
  const texts = await Promise.all(data.texts.map((text) => (text.startsWith(PICTURE) ? smaller(text, side, quality) : text)));
  return { ...data, texts };
}

/** @param {string} uri @param {number} side @param {number} quality */
async function smaller(uri, side, quality) {
  const image = new Image();
  image.src = uri;
  await image.decode().catch(() => {});
  const scale = Math.min(side / Math.max(image.naturalWidth, image.naturalHeight, 1), 1);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(Math.round(image.naturalWidth * scale), 1);
  canvas.height = Math.max(Math.round(image.naturalHeight * scale), 1);
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(image, 0, 0, canvas.width, canvas.height);
  const made = canvas.toDataURL("image/jpeg", quality);
  return made.length < uri.length ? made : uri;
}
