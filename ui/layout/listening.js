// @ts-check
// Whether the server's answers are being read. Gradio's client reads the answers of all its events over one stream, which
// the server closes after the last of them. An event that is accepted while that last word is still on its way counts on
// a stream that is gone, and its answers wait on the server, unread, until any event opens the next stream. So whoever
// waits for a first answer says so here, and if none comes, a button that nobody sees is pressed: its event does nothing
// but open a stream.

import { find } from "./dom.js";

const PATIENCE_MS = 1500;
const MOST = 40; // presses: a model that takes a minute over its first step is still heard

export class Listening {
  /** @param {() => void} nudge @param {number} patience milliseconds without an answer */
  constructor(nudge = () => find("#nudge")?.click(), patience = PATIENCE_MS) {
    this.nudge = nudge;
    this.patience = patience;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.timer = undefined;
  }

  /** An event begins: its first answer is waited for. */
  expect() {
    this.heard();
    let left = MOST;
    this.timer = setInterval(() => { if (left-- > 0) this.nudge(); else this.heard(); }, this.patience);
  }

  /** An answer came, or the event is over. */
  heard() {
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
