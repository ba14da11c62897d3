// @ts-check
// Save and share: asks the server for a file of the run on screen and hands it to the browser as a download.

import { find, findAll, make } from "../layout/dom.js";
import { bytesOf, pack } from "../stage/run/bytes.js";
import { Address, copied } from "./address.js";

const WITHOUT_HAND = ", without what was changed by hand.";
const WITH_HAND = ", as it stands by hand; the steps before are not in it.";
const RELEASE_MS = 30_000;

export class Export {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {HTMLElement} element @param {Record<string, (data: any) => Promise<any>>} server
   */
  constructor(stage, element, server) {
    this.stage = stage;
    this.server = server;
    this.panel = element;
    this.line = find(".ex-say", element);
    this.address = find(".ex-address", element);
    this.buttons = findAll(".ex-button", element);
    this.busy = false;
    for (const button of this.buttons) {
      const kind = button.dataset.as;
      button.addEventListener("click", () => {
        if (kind) this.ask("Saving …", () => this.save(kind));
        else this.ask("Making the link …", () => this.share());
      });
    }
    for (const name of ["run", "done", "compare"]) stage.on(name, () => { this.tell(""); this.refresh(); });
    this.linked = new Address(stage);
    this.refresh();
  }

  /** @param {string} words */
  tell(words) {
    this.line.textContent = words;
    this.address.hidden = true;
  }

  refresh() {
    const { run, beside } = this.stage;
    this.panel.hidden = !run;
    const carving = [run, beside].some((one) => one?.state === "running");
    for (const button of this.buttons) button.disabled = !run || carving || this.busy;
  }

  /**
   * Asks and answers in order; the buttons rest meanwhile, so that nobody asks twice.
   * @param {string} words @param {() => Promise<string | void>} work
   */
  async ask(words, work) {
    this.busy = true;
    this.refresh();
    this.tell(words);
    try {
      const said = await work();
      if (said) this.line.textContent = said;
    } catch {
      this.tell("That did not arrive: try again.");
    }
    this.busy = false;
    this.refresh();
  }

  /** @param {string} kind */
  async save(kind) {
    const { run, shown, byHand, tokens } = this.stage;
    /** @type {Record<string, any>} */
    const data = { run: run.id, step: shown + run.offset, as: kind };
    const hand = byHand.size > 0;
    if (hand && ["png", "json"].includes(kind)) data.tokens = pack(tokens, Int32Array);
    const file = await this.server.save(data);
    if (file.error) return file.error;
    download({ name: file.name, type: file.type, bytes: bytesOf(file.data) });
    return `Saved ${file.name}${!hand || kind === "png" ? "" : kind === "json" ? WITH_HAND : WITHOUT_HAND}`;
  }

  async share() {
    const { run, beside, way, position, byHand, tokens } = this.stage;
    const hand = byHand.size > 0;
    /** @type {Record<string, any>} */
    const data = { run: run.id, tokens: hand ? pack(tokens, Int32Array) : null };
    if (beside) Object.assign(data, { beside: beside.id, way, step: position + run.offset });
    const answer = await this.server.share(data);
    if (answer.error) return answer.error;
    const url = this.linked.put(run.id, answer.hash, beside?.id);
    return copied(url, this.address, hand ? WITH_HAND : beside ? ", with both pictures." : ".");
  }
}

/** Hands a file to the browser. @param {{name: string, type: string, bytes: Uint8Array<ArrayBuffer>}} file */
export function download(file) {
  const url = URL.createObjectURL(new Blob([file.bytes], { type: file.type }));
  make("a", { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), RELEASE_MS);
}
