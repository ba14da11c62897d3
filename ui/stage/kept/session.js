// @ts-check
// A reload loses nothing: this tab remembers which pictures it had, which of them was on the canvas and what was done to
// it by hand. Only their names are kept here; the server still has the runs, and tells them again.

import { recall, remember } from "../../layout/storage.js";

/** @typedef {import("../run/run.js").Run} Run */
/**
 * `runs` by id, the newest first; `line` leads to the one on the canvas, `run`; `k` is the step on the canvas as the server counts.
 * @typedef {{runs: string[], line: string[], run: string, k: number, prompt: string | null, task: string,
 *   hand: import("./sheet.js").Kept | null}} Session
 */

const KEPT = "chisel-session";

/**
 * In which order runs are asked for: those that the one on the canvas grew from, oldest first, that one, and then the
 * others, the newest first.
 * @param {Session} session
 */
export function order({ runs, line }) {
  return [...line, ...runs.filter((id) => !line.includes(id))];
}

/** @param {string | null} text @returns {Session | null} */
export function read(text) {
  try {
    const told = JSON.parse(text ?? "");
    const ids = [told.runs, told.line];
    const whole = ids.every((all) => Array.isArray(all) && all.every((/** @type {any} */ id) => typeof id === "string"));
    return whole && Number.isInteger(told.k) ? told : null;
  } catch {
    return null;
  }
}

export class Sessions {
  /**
   * @param {import("../stage.js").Stage} stage @param {Record<string, (data: any) => Promise<any>>} server
   * @param {() => string | null} prompt what the prompt box says
   */
  constructor(stage, server, prompt) {
    this.stage = stage;
    this.server = server;
    this.prompt = prompt;
    window.addEventListener("pagehide", () => this.save());
  }

  save() {
    const { run, shown, shelf, sheet, task } = this.stage;
    if (!run) return remember("sessionStorage", KEPT, null);
    const line = [run.id];
    for (let one = run; one?.parent && line.length < shelf.runs.length; one = shelf.find(one.parent[0])) line.unshift(one.parent[0]);
    /** @type {Session} */
    const session = {
      runs: shelf.runs.map(({ id }) => id), line, run: run.id, k: shown + run.offset, prompt: this.prompt(), task, hand: sheet.keep(run),
    };
    return remember("sessionStorage", KEPT, JSON.stringify(session));
  }

  /** What the page before had; a link in the address brings its own picture. */
  async restore() {
    const session = read(recall("sessionStorage", KEPT));
    if (!session) return;
    const { stage } = this;
    const linked = /^#c\d+(=|%3D)/i.test(location.hash);
    for (const id of order(session)) {
      if (stage.shelf.find(id)) continue; // brought over by keep.js, which had its pictures
      const told = await this.server.recall({ run: id }).catch(() => ({ error: "" }));
      if (told.error !== undefined || (linked && id === session.run)) continue;
      if (id === session.run && !stage.run && !stage.busy) this.show(told.message, session);
      else stage.shelve(told.message);
    }
    const place = (/** @type {Run} */ run) => session.runs.indexOf(run.id);
    stage.shelf.runs.sort((a, b) => place(a) - place(b));
    stage.changed();
  }

  /** @param {import("../run/run.js").Message} message @param {Session} session */
  show(message, { k, hand, prompt, task }) {
    const { stage } = this;
    stage.take(message);
    const { run } = stage;
    if (!run) return;
    if (hand) stage.sheet.resume(run, hand);
    stage.go(k - run.offset);
    stage.look();
    stage.emit("fill", { run, prompt });
    if (task === "edit") stage.choose(task);
  }
}
