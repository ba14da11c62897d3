// @ts-check
// A reload loses nothing: this tab remembers which pictures it had, which of them was on the canvas and what was done to
// it by hand. Only their names are kept here; the server still has the runs, and tells them again.

import { gameLinked, linked } from "../../export/address.js";
import { facts } from "../../layout/facts.js";
import { recall, remember } from "../../layout/storage.js";

/** @typedef {import("../run/run.js").Run} Run */
/**
 * `runs` by id, the newest first; `line` leads to the one on the canvas, `run`; `k` is the step on the canvas as the server counts.
 * @typedef {{runs: string[], line: string[], run: string, k: number, prompt: string | null, task: string,
 *   hand: import("./sheet.js").Kept | null, cut?: Cut | null}} Session
 *
 * What was being carved: the run that streamed onto the canvas, "" for none, and the form as it was sent.
 * @typedef {{run: string, sent: string}} Cut
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

/**
 * The form as it was sent, like a run that it would make; null where there was none.
 * @param {string} sent @returns {import("../ask/form.js").Made | null}
 */
function asSent(sent) {
  const values = JSON.parse(sent || "null");
  if (!Array.isArray(values)) return null;
  const form = Object.fromEntries(Object.keys(facts().form).map((name, i) => [name, values[i]]));
  return { kind: "generate", prompt: form.prompt, seed: form.seed, form };
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
    this.stage.emit("leave");
    const { run, shown, shelf, sheet, task, busy, asks } = this.stage;
    const cut = busy ? { run: run?.state === "running" ? run.id : "", sent: asks.sent } : null;
    if (!run) {
      /** @type {Session} */
      const bare = { runs: [], line: [], run: "", k: 0, prompt: this.prompt(), task, hand: null, cut };
      return remember("sessionStorage", KEPT, cut && JSON.stringify(bare));
    }
    const line = [run.id];
    for (let one = run; one?.parent && line.length < shelf.runs.length; one = shelf.find(one.parent[0])) line.unshift(one.parent[0]);
    /** @type {Session} */
    const session = {
      runs: shelf.runs.map(({ id }) => id), line, run: run.id, k: shown + run.offset, prompt: this.prompt(), task, hand: sheet.keep(run),
      cut,
    };
    return remember("sessionStorage", KEPT, JSON.stringify(session));
  }

  /** What the page before had; a link in the address brings its own picture. */
  async restore() {
    const session = read(recall("sessionStorage", KEPT));
    if (!session) return;
    const { stage } = this;
    const brings = linked() && !gameLinked();
    for (const id of order(session)) {
      if (stage.shelf.find(id)) continue; // brought over by keep.js, which had its pictures
      const told = await this.server.recall({ run: id }).catch(() => ({ error: "" }));
      if (told.error !== undefined || (brings && id === session.run)) continue;
      if (id === session.run && !stage.run && !stage.busy) this.show(told.message, session);
      else stage.shelve(told.message);
    }
    const place = (/** @type {Run} */ run) => session.runs.indexOf(run.id);
    stage.shelf.runs.sort((a, b) => place(a) - place(b));
    if (session.cut && !brings && !stage.busy) this.tellCut(session.cut, session.prompt);
    stage.changed();
  }

  /** What the reload interrupted, and how to go on. @param {Cut} cut @param {string | null} prompt */
  tellCut({ run: id, sent }, prompt) {
    const { stage } = this;
    const { run } = stage;
    if (id && run?.id === id) {
      if (run.state !== "stopped") return; // it had come to its end before the server noticed
      run.cut = true;
      stage.go(run.last);
      const on = run.frames[run.last].masked ? "Continue carves on from there." : "Press Generate to run it again.";
      stage.asks.cut = { run: id, words: `The reload cut this run off at ${run.describe(run.last).split(/,| ·/)[0]}. ${on}` };
      return;
    }
    const made = asSent(sent);
    if (made && (id || !run)) stage.emit("fill", { run: made, prompt });
    const words = run && !id ? "The reload cut off what was being carved before its end: press the same button to run it again."
      : "The reload cut the run off before its first step: press Generate to run it again.";
    stage.asks.cut = { run: run?.id ?? "", words };
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
