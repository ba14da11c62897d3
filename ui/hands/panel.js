// @ts-check
// The buttons of the hands, wherever they stand on the page: which can be pressed, which are on, what they say.

import { findAll } from "../layout/dom.js";
import { count } from "../stage/run/words.js";
import { HINTS, WITHOUT_DOUBT } from "./hands.js";

const HEAL = "Let the model mend what it no longer believes; nothing is masked";

export class HandsPanel {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {import("./hands.js").Hands} hands
   * @param {import("./tools.js").Tools} tools
   * @param {Record<string, import("./actions.js").Action>} actions
   * @param {boolean} exact whether a token means the same patch wherever it stands
   */
  constructor(stage, hands, tools, actions, exact = true) {
    this.exact = exact;
    this.stage = stage;
    this.hands = hands;
    this.tools = tools;
    this.actions = actions;
    stage.on("change", () => this.refresh());
    document.addEventListener("click", (event) => {
      const at = (/** @type {string} */ name) => /** @type {Element} */ (event.target).closest(name);
      const [tool, size, button] = ["button[data-tool]", "[data-size]", "[data-press]"].map(at);
      if (tool instanceof HTMLElement) tools.choose(tool.dataset.tool);
      if (size instanceof HTMLElement) tools.setBrush(size.dataset.size);
      if (button instanceof HTMLElement) this.press(button.dataset.press);
      const turned = at("[data-switch]");
      if (turned instanceof HTMLElement) this.turn(turned.dataset.switch);
    });
  }

  /** @param {string} name */
  press(name) {
    const action = this.actions[name];
    if (action?.can()) action.act();
  }

  /** What is moved stays where it was, too; a seam around it is masked. @param {string} name */
  turn(name) {
    const { mover } = this.tools;
    if (name === "copies") mover.copies = !mover.copies;
    else mover.bare = !mover.bare;
    mover.again();
  }

  // Some of these pieces come to stand on the page later than others.
  refresh() {
    const { stage, hands, tools } = this;
    const { run, sheet, selected } = stage;
    for (const button of findAll("[data-press]")) button.disabled = !this.actions[button.dataset.press]?.can();
    for (const button of findAll("button[data-tool]")) {
      button.setAttribute("aria-checked", String(button.dataset.tool === tools.tool));
    }
    for (const button of findAll("[data-size]")) {
      button.setAttribute("aria-pressed", String(button.dataset.size === tools.kind));
    }
    for (const button of findAll("[data-switch]")) {
      const on = button.dataset.switch === "copies" ? tools.mover.copies : !tools.mover.bare;
      button.setAttribute("aria-pressed", String(on));
    }
    const put = (/** @type {string} */ name, /** @type {Record<string, any>} */ has) => {
      for (const node of findAll(name)) Object.assign(node, has);
    };
    const own = Boolean(run?.ground); // a picture of the visitor's, which the model would make one of its own
    put("[data-press=heal]", {
      hidden: !stage.revises, textContent: own ? "Redraw it all" : "Heal",
      title: own ? "Let the model put what it knows in place of your picture: all that it does not believe" : HEAL,
    });
    put("[data-press=remask-unsure]", { hidden: stage.revises });
    put(".cz-tool-hint", { textContent: this.hint() });
    put(".cz-brush", { hidden: !tools.paints || (tools.tool === "choose" && hands.stamp < 0) });
    put(".cz-move", { hidden: !tools.moves });
    put("[data-press=stamp]", {
      hidden: tools.tool !== "choose",
      textContent: hands.stamp >= 0 ? `Stamping token #${hands.stamp}: stop` : "Stamp the picked token",
    });
    const one = Boolean(run) && selected >= 0;
    put("[data-press=lock-cell]", { textContent: one && sheet.isLocked(selected) ? "Unlock" : "Lock" });
    put("[data-press=mask-cell]", { textContent: one && !hands.holdsToken && hands.canMask ? "Bring back" : "Remask" });
    put(".cz-marks", { textContent: this.tally() });
    const n = sheet.countLocked();
    put(".cz-unlock", { hidden: !n });
    put(".cz-kept", { textContent: n ? `${count(n, "locked cell")} ${n === 1 ? "stays" : "stay"} in the next picture.` : "" });
  }

  hint() {
    const { run, revises, variations } = this.stage;
    if (!run) return "Make a picture first: Create, then Generate.";
    if (variations.open) return "Accept one of the variations, or discard them, to go on.";
    const { tool, mover } = this.tools;
    if (tool === "move" && mover.chosen.size) return moving(mover, this.exact);
    return (!revises && WITHOUT_DOUBT[tool]) || HINTS[/** @type {keyof typeof HINTS} */ (tool)];
  }

  /** "3 masked · 12 locked · 2 by hand" */
  tally() {
    const { run, sheet, tokens, byHand } = this.stage;
    if (!run) return "";
    const put = [...byHand].filter((cell) => tokens[cell] !== run.maskId).length;
    const parts = [[this.stage.countMasked(), "masked"], [sheet.countLocked(), "locked"], [put, "by hand"]];
    return parts.filter(([n]) => n).map((part) => part.join(" ")).join(" · ");
  }
}

/** What to do with the chosen cells. @param {import("./mover.js").Mover} mover @param {boolean} exact */
function moving({ float, chosen, stage }, exact) {
  const n = count(chosen.size, "cell");
  if (!float) return `${n} chosen: drag them, move them with the arrow keys, or copy them and paste into another picture.`;
  const near = exact ? "" : " This model's tokens depend on their surroundings, so what was moved may look a little different.";
  const next = stage.countMasked() ? " Move on, or press Repaint for the masked cells." : "";
  return `${n} lie in their new place.${next}${near}`;
}
