// @ts-check
// Under the prompt of Retouch: what it is about, and over an upload what the model can draw there at all.

import { find } from "../layout/dom.js";
import { facts } from "../layout/facts.js";

/** @param {import("../stage/stage.js").Stage} stage @param {HTMLElement} element */
export function note(stage, element) {
  const line = find(".cz-note-upload", element);
  const { name, things } = facts();
  const known = things ? `${things} things, drawn in its own styles, and no photographs` : "what it was trained on";
  line.textContent = `This picture is yours: ${name} knows ${known}. What it repaints will look like that.`;
  stage.on("change", () => { line.hidden = !stage.run?.ground; });
}
