// @ts-check
// Gradio's own buttons know no tooltips.

import { whenThere } from "./dom.js";

const TIPS = {
  "#dice": "Roll another seed",
  "#keep-seed": "On: Generate keeps this seed and draws the same picture again. Off: pressing Generate twice rolls a new one.",
};

export function tips() {
  for (const [name, words] of Object.entries(TIPS)) whenThere(name, (node) => { node.title = words; });
}
