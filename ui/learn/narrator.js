// @ts-check
// Tells people who cannot see the canvas how a run goes: that it began, when half is set, how it ended. Nothing else:
// a voice at every step would drown everything.

import { find, findAll } from "../layout/dom.js";
import { count } from "../stage/run/words.js";

const LOOK_MS = 500;

export class Narrator {
  /** @param {import("../stage/stage.js").Stage} stage @param {{element: HTMLElement}} piece */
  constructor(stage, { element }) {
    this.stage = stage;
    this.voice = find(".cz-voice", element);
    this.told = "";
    stage.on("change", () => this.narrate());
    setInterval(hideUnseen, LOOK_MS);
  }

  narrate() {
    const { run, shown } = this.stage;
    if (!run) return;
    const half = this.stage.tokens.filter((token) => token === run.maskId).length * 2 <= run.cells;
    const running = run.state === "running";
    const chapter = `${run.id} ${running ? (half ? "half" : "begun") : run.state}`;
    if (chapter === this.told || (running && this.told === `${run.id} half`)) return;
    if (!running && shown !== run.last) return; // scrubbing is the slider's own voice
    const older = !running && !this.told.startsWith(run.id); // an older run is shown again
    this.told = chapter;
    if (older) return;
    const edits = count(this.stage.frame.editsSoFar, "token");
    this.voice.textContent = running ? (half ? "Half of the tokens are set." : "Carving has begun.")
      : run.state === "done" ? `The picture is done after ${run.last} steps, ${edits} edited.`
      : run.state === "stopped" ? `Stopped at step ${run.last}.`
      : "The run failed.";
  }
}

/**
 * Buttons that only scripts press are no stop of the Tab key, and no voice reads them out. Gradio brings them later than
 * the stage, and may make them anew.
 */
function hideUnseen() {
  for (const button of findAll(".cz-unseen:not([aria-hidden])")) {
    button.tabIndex = -1;
    button.setAttribute("aria-hidden", "true");
  }
}
