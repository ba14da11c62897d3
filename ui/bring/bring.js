// @ts-check
// Bring your own: a picture to retouch, a saved run, or a link in the address. The server checks what arrives.

import { gameLinked, linked } from "../export/address.js";
import { find, intoSight } from "../layout/dom.js";
import { facts } from "../layout/facts.js";
import { fitting } from "./shrink.js";

const MIB = 2 ** 20;
const NAMES = { picture: "The picture", run: "The saved run" };
const OURS = "This PNG was saved here: it came back token by token, with its prompt, seed and settings.";
const CLOSES_MS = 300;
const FIELD = "input, textarea, select, [contenteditable]";

/** @param {Blob} file @returns {Promise<string>} */
function base64(file) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result).split(",", 2)[1] ?? "");
    reader.onerror = fail;
    reader.readAsDataURL(file);
  });
}

/** The first picture among what was pasted. @param {DataTransfer | null} pasted */
export function pastedPicture(pasted) {
  const files = Array.from(pasted?.items ?? [], (item) => (item.kind === "file" ? item.getAsFile() : null));
  return files.find((file) => file?.type.startsWith("image/")) ?? null;
}

export class Bring {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {{tools: import("../hands/tools.js").Tools | null}} hands
   * @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece
   */
  constructor(stage, hands, { element, server }) {
    this.stage = stage;
    this.hands = hands;
    /** @type {{run: string, way: string, step: number} | null} a link's two runs: the first, and how both are looked at */
    this.pair = null;
    this.server = server;
    this.line = find(".up-say", element);
    this.reading = false;
    // what is said of a file is over as soon as the visitor goes on
    for (const name of ["ask", "run", "edit", "task"]) stage.on(name, () => { if (!this.reading) this.line.textContent = ""; });
    const { pictureBytes, runBytes } = facts();
    this.most = { picture: pictureBytes, run: runBytes };
    for (const kind of /** @type {("picture" | "run")[]} */ (["picture", "run"])) {
      const field = find(`.up-${kind}-file`, element);
      find(`.up-${kind}`, element).addEventListener("click", () => { field.value = ""; field.click(); });
      field.addEventListener("change", () => this.bring(kind, field.files[0]));
    }
    this.listen();
    const open = () => { this.pair = null; press(stage, "#open-link"); };
    window.addEventListener("hashchange", open);
    open();
    this.pairs();
  }

  /** A link may hold a second run: it is asked for once the first is done, and then both are looked at as they were. */
  pairs() {
    const { stage } = this;
    stage.on("message", ({ run, state, seen }) => {
      if (!seen || state !== "done") return;
      this.pair = { run, way: seen[0], step: seen[1] };
      // a moment later: the event of the first one is still closing
      setTimeout(() => { if (this.pair?.run === run && stage.run?.id === run) press(stage, "#open-beside"); }, CLOSES_MS);
    });
    stage.on("ask", () => { this.pair = null; });
    stage.on("done", (id) => {
      const { pair } = this;
      if (!pair || stage.beside?.id !== id || stage.run.id !== pair.run) return;
      this.pair = null;
      // after the stage has gone to the end
      queueMicrotask(() => {
        stage.compareAs(pair.way);
        stage.jump(pair.step);
        stage.emit("paired");
      });
    });
  }

  /** A picture or a saved run dropped anywhere, and a picture pasted, do the same. */
  listen() {
    document.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
    document.addEventListener("drop", (event) => {
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      event.preventDefault();
      this.bring(file.type.startsWith("image/") ? "picture" : "run", file);
    });
    document.addEventListener("paste", (event) => {
      const picture = pastedPicture(event.clipboardData);
      // who pastes words into a field that came along with a picture of them means the words
      const words = event.target instanceof Element && event.target.closest(FIELD) && event.clipboardData?.getData("text/plain");
      if (!picture || words) return;
      event.preventDefault();
      this.bring("picture", picture);
    });
  }

  /** The sentence stands in the Retouch task: whoever dropped a file elsewhere is taken there. @param {string} words */
  refuse(words) {
    this.stage.choose("edit");
    this.line.textContent = words;
    intoSight(this.line);
  }

  /**
   * Only the bytes are sent: neither the file's name nor its path reaches the server.
   * @param {"picture" | "run"} kind @param {Blob} file
   */
  async bring(kind, file) {
    if (!file) return;
    this.reading = true;
    this.line.textContent = "Reading …";
    await this.read(kind, file).finally(() => { this.reading = false; });
  }

  /** @param {"picture" | "run"} kind @param {Blob} file */
  async read(kind, file) {
    const most = this.most[kind];
    const sent = kind === "picture" ? await fitting(file, most) : file;
    if (!sent || sent.size > most) return this.refuse(`${NAMES[kind]} is too large: files can have up to ${most / MIB} MiB.`);
    try {
      const data = { file: await base64(sent) };
      const answer = kind === "picture" ? await this.server.upload_picture(data) : await this.server.open_run(data);
      if (answer.error) return this.refuse(answer.error);
      this.line.textContent = "";
      const saved = kind === "run" || answer.ours; // made here: prompt, seed and settings come with it
      if (saved) this.stage.emit("fill", { run: answer.message });
      this.stage.take(answer.message);
      if (answer.ours) this.line.textContent = OURS;
      if (saved) return;
      this.stage.choose("edit");
      this.hands.tools.choose("mask");
    } catch {
      this.refuse("The file did not arrive: try again.");
    }
  }
}

/**
 * A link in the address: carved anew as soon as the page is ready, and again when another one is pasted.
 * @param {import("../stage/stage.js").Stage} stage @param {string} name of the button behind it @returns {void}
 */
function press(stage, name) {
  if (!linked() || gameLinked()) return; // games are opened by their chapter
  const button = find(name);
  if (!button) return void requestAnimationFrame(() => press(stage, name));
  stage.listening.expect();
  button.click();
}
