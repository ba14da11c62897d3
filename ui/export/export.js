// @ts-check
// Save and share: asks the server for a file of the run on screen and hands it to the browser as a download.

import { find, findAll, make } from "../layout/dom.js";
import { bytesOf, pack } from "../stage/run/bytes.js";

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
    for (const name of ["run", "done"]) stage.on(name, () => { this.tell(""); this.refresh(); });
    this.linked = new Address(stage);
    this.refresh();
  }

  /** @param {string} words */
  tell(words) {
    this.line.textContent = words;
    this.address.hidden = true;
  }

  refresh() {
    const { run } = this.stage;
    this.panel.hidden = !run;
    for (const button of this.buttons) button.disabled = !run || run.state === "running" || this.busy;
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
    const { run, byHand, tokens } = this.stage;
    const hand = byHand.size > 0;
    const ending = hand ? WITH_HAND : ".";
    const answer = await this.server.share({ run: run.id, tokens: hand ? pack(tokens, Int32Array) : null });
    if (answer.error) return answer.error;
    const url = this.linked.put(run.id, answer.hash);
    try {
      await navigator.clipboard.writeText(url);
    } catch {
      // no permission here (a frame, a plain http address): show it to be copied by hand
      this.address.value = url;
      this.address.hidden = false;
      this.address.select();
      return `Copy the link from the field${ending}`;
    }
    return `Link copied${ending}`;
  }
}

/**
 * The address stands for one run: the one that it brought here, or whose link was made. Another one takes it off again,
 * so that a reload or a copied address never brings back a picture that is no longer there.
 */
class Address {
  /** @param {import("../stage/stage.js").Stage} stage */
  constructor(stage) {
    this.run = ""; // the run that the address stands for
    this.asked = false; // what comes onto the canvas now was made by a press, not by the address
    stage.on("ask", () => { this.asked = true; });
    stage.on("run", (id) => this.shown(id));
    window.addEventListener("hashchange", () => Object.assign(this, { run: "", asked: false }));
  }

  /** @param {string} run @param {string} hash */
  put(run, hash) {
    this.run = run;
    // written out: a bare #... is taken from the page's base, which knows no ?class=1 and no signature
    history.replaceState(history.state, "", `${location.href.split("#")[0]}#${hash}`);
    return linkTo(location, hash);
  }

  /** @param {string} run */
  shown(run) {
    if (!/^#c\d+(=|%3D)/i.test(location.hash)) return;
    if (!this.run && !this.asked) this.run = run;
    if (this.run === run) return;
    this.run = "";
    history.replaceState(history.state, "", location.href.split("#")[0]);
  }
}

/**
 * A link as it is given away: the page with its prefix, class mode where it is on, the run; nothing that others hung onto
 * the address. There it stays, for Gradio reads a signature from it that a Space gives to its one visitor.
 * @param {{origin: string, pathname: string, search: string}} page @param {string} hash
 */
export function linkTo({ origin, pathname, search }, hash) {
  const lesson = new URLSearchParams(search).get("class") === "1" ? "?class=1" : "";
  return `${origin}${pathname}${lesson}#${hash}`;
}

/** Hands a file to the browser. @param {{name: string, type: string, bytes: Uint8Array<ArrayBuffer>}} file */
export function download(file) {
  const url = URL.createObjectURL(new Blob([file.bytes], { type: file.type }));
  make("a", { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), RELEASE_MS);
}
