// @ts-check
// The picture outlives a lost connection. When the network drops in the middle of an event (a phone that sleeps, a
// classroom's wireless), Gradio says so and loads the page anew as soon as the server answers. What was last on its way
// to the canvas, with the locks and what was changed by hand, is handed over to the new page, in this tab's own storage.
// A reload by hand finds its pictures through session.js.

import { gameLinked, linked } from "../../export/address.js";
import { find, findAll, whenThere } from "../../layout/dom.js";
import { recall, remember } from "../../layout/storage.js";

/** @typedef {import("../run/run.js").Message} Message */

const KEPT = "chisel-kept";
const LOST = "Connection to the server was lost"; // Gradio's own words, where a browser tells no better
const LOOK_MS = 500; // Gradio waits two seconds before it tries again
const LEAVE_MS = 60_000; // a page that is about to go is gone by then, or stays after all
const FILL_MS = 100; // Gradio fills its fields a moment after it has put them up
const MOST_PICTURES = 2 * 2 ** 20; // characters; heavier ones are asked for again when they are looked at
const BACK = "The connection was lost for a moment. This is the picture that was here.";

/**
 * A run's newest message together with the frames of those before it.
 * @param {Message | null} kept @param {Message} message
 */
export function together(kept, message) {
  const frames = kept && kept.run === message.run ? kept.frames : [];
  const have = new Set(frames.map((raw) => raw.k));
  const news = message.frames.filter((raw) => !have.has(raw.k));
  return { ...message, frames: [...frames, ...news].sort((a, b) => a.k - b.k) };
}

/** A navigation that is a reload by a script. @param {{navigationType: string, userInitiated: boolean}} event */
export const byScript = (event) => event.navigationType === "reload" && !event.userInitiated;

export class Keeper {
  /** @param {import("../stage.js").Stage} stage @param {(text: string) => void} writePrompt */
  constructor(stage, writePrompt) {
    this.stage = stage;
    this.writePrompt = writePrompt;
    /** @type {Message | null} the newest run as one message with all its frames */
    this.message = null;
    this.lost = false;
    this.leaving = false;
    stage.on("message", (message) => { this.message = together(this.message, message); });
    setInterval(() => this.look(), LOOK_MS);
    // On a reload by hand Gradio closes its streams itself, in this very event, and complains in passing: what counts
    // is what it had said before.
    window.addEventListener("beforeunload", () => {
      this.leaving = true;
      setTimeout(() => { this.leaving = false; }, LEAVE_MS);
    });
    window.addEventListener("pagehide", () => this.save());
    // a reload that no visitor asked for is Gradio's, whatever words it finds; not every browser knows the Navigation API
    /** @type {any} */
    const { navigation } = window;
    navigation?.addEventListener("navigate", (/** @type {any} */ event) => { this.lost ||= byScript(event); });
  }

  look() {
    if (this.leaving) return;
    this.lost ||= findAll(".toast-body").some((toast) => toast.textContent.includes(LOST));
  }

  save() {
    if (!this.message || !this.lost) return;
    const { stage, message } = this;
    stage.emit("leave");
    const prompt = find("#prompt textarea")?.value;
    const run = stage.shelf.find(message.run);
    const k = run && (run === stage.run ? stage.shown : run.last) + run.offset;
    const hand = run && { ...stage.sheet.keep(run), k };
    const heavy = message.frames.reduce((sum, { image }) => sum + (image ?? "").length, 0) > MOST_PICTURES;
    const bare = (/** @type {string | null} */ image) => /** @type {string | null} */ (image && null);
    const frames = heavy ? message.frames.map((raw) => ({ ...raw, image: bare(raw.image) })) : message.frames;
    // where it is too large for this browser's storage even so, the page begins anew
    remember("sessionStorage", KEPT, JSON.stringify({ message: { ...message, frames }, prompt, hand }));
  }

  /** Shows what the page before left. */
  restore() {
    const { stage } = this;
    const kept = recall("sessionStorage", KEPT);
    remember("sessionStorage", KEPT, null);
    if (!kept || (linked() && !gameLinked())) return;
    const { message, prompt, hand } = JSON.parse(kept);
    stage.take({ ...message, role: "main", state: message.state === "running" ? "stopped" : message.state });
    const run = stage.shelf.find(message.run);
    if (run && hand) {
      stage.sheet.resume(run, hand);
      stage.go(hand.k - run.offset);
    }
    // the form comes to stand on the page after the stage
    whenThere("#prompt textarea", () => whenThere(".cz-notice", (notice) => setTimeout(() => {
      if (prompt) this.writePrompt(prompt);
      notice.textContent = BACK;
    }, FILL_MS)));
  }
}
