// @ts-check
// The page's own script: one Stage, and every piece of the page tied to it as Gradio puts the piece up. Each piece is a
// gr.HTML of Python's that calls by its name here (see ui/assemble.py), in no certain order.

import { Bring } from "./bring/bring.js";
import { Export } from "./export/export.js";
import { handle } from "./handle.js";
import { actions } from "./hands/actions.js";
import { gestures } from "./hands/gestures.js";
import { Hands } from "./hands/hands.js";
import { listen } from "./hands/keys.js";
import { Loupe } from "./hands/loupe.js";
import { HandsPanel } from "./hands/panel.js";
import { Previews } from "./hands/previews.js";
import { Sight } from "./hands/sight.js";
import { Tools } from "./hands/tools.js";
import { Inspector } from "./inspector/inspector.js";
import { find, findAll } from "./layout/dom.js";
import { facts } from "./layout/facts.js";
import { header, whose } from "./layout/header.js";
import { notice, said } from "./layout/notice.js";
import { insight } from "./layout/insight.js";
import { tasks } from "./layout/tasks.js";
import { tips } from "./layout/tips.js";
import { CHAPTERS, pointless } from "./learn/chapters.js";
import { classMode } from "./learn/class_mode.js";
import { Recorder } from "./learn/lesson/recorder.js";
import { LessonSaver } from "./learn/lesson/save.js";
import { Narrator } from "./learn/narrator.js";
import { onward } from "./learn/place/onward.js";
import { Place } from "./learn/place/place.js";
import { showMe } from "./learn/show_me.js";
import { Tour } from "./learn/tour.js";
import { barPrompt } from "./prompt/bar_prompt.js";
import { Count } from "./prompt/count.js";
import { Hint } from "./prompt/hint.js";
import { Nothing } from "./prompt/nothing.js";
import { note } from "./prompt/note.js";
import { Palette } from "./prompt/palette.js";
import { box, write } from "./prompt/prompt_box.js";
import { BesideView } from "./stage/beside/beside.js";
import { Canvas } from "./stage/canvas/canvas.js";
import { Form } from "./stage/ask/form.js";
import { Keeper } from "./stage/kept/keep.js";
import { Sessions } from "./stage/kept/session.js";
import { Pictures } from "./stage/ask/pictures.js";
import { ShelfView } from "./stage/kept/shelf.js";
import { Stage } from "./stage/stage.js";
import { VariationsView } from "./stage/kept/variations.js";
import { StageView } from "./stage/view.js";
import { Twin } from "./twin/twin.js";
import { Zoom } from "./stage/canvas/zoom.js";

/**
 * What Gradio gives to the script of a gr.HTML.
 * @typedef {{element: HTMLElement, props: any, trigger: (name: string, data: any) => void,
 *   watch: (name: string, call: () => void) => void, server: Record<string, (data: any) => Promise<any>>}} Piece
 *
 * The parts that come up with the canvas.
 * @typedef {{canvas: Canvas, hands: Hands, tools: Tools, panel: HandsPanel, server: Piece["server"], form: Form}} Grid
 */

const model = facts();
const stage = new Stage({ rows: model.grid[0], columns: model.grid[1] }, model.revises);
const hands = new Hands(stage);
/** @type {{tools: Tools | null, press: ((name: string) => void) | null}} in hand as soon as there is a canvas */
const held = { tools: null, press: null };
const form = new Form(stage);
const recorder = new Recorder();
/** @type {Map<string, any>} the scripts of Learn's chapters, by the names of their pieces */
const chapters = new Map();

/** @type {Record<string, (piece: Piece) => void>} */
const PIECES = {
  header: ({ element }) => header(element),
  foot: ({ element }) => whose(element),
  tasks: ({ element }) => tasks(stage, element),
  notice: (piece) => notice(stage, piece),
  // a piece with buttons of the hands, which now learn whether they can be pressed
  buttons: ({ element }) => { barPrompt(element, (name) => held.press?.(name)); stage.changed(); },
  grid,
  bring: (piece) => new Bring(stage, held, piece),
  hint: (piece) => { new Hint(piece); new Nothing(stage, piece.server); },
  count: (piece) => new Count(piece),
  note: (piece) => note(stage, piece.element),
  palette: (piece) => new Palette(piece),
  tour: (piece) => { new Tour(stage, held, piece, !pointless(model).includes("neighbours")); classMode(piece.element); },
  lesson: (piece) => new LessonSaver(stage, piece, recorder, chapters, model),
  onward: ({ element }) => onward(stage, element),
  place: (piece) => { new Place(stage, piece, pointless(model)); showMe(stage); },
  twin: (piece) => new Twin(stage, piece),
  narrator: (piece) => new Narrator(stage, piece),
};

/** @param {Piece} piece */
function grid({ element, props, watch, server }) {
  const part = (/** @type {string} */ name) => find(name, element);
  const node = part(".cz-canvas");
  const tools = new Tools(stage, hands, node);
  const zoom = new Zoom(findAll(".cz-pane", element), part(".cz-zoom"), () => stage.grid);
  const sight = new Sight(() => stage.changed());
  const canvas = new Canvas(stage, element, tools, zoom, sight);
  const choose = (/** @type {number} */ cell, /** @type {number} */ token) => stage.change(() => hands.put([[cell, token]]));
  const panel = new HandsPanel(stage, hands, tools, actions(stage, hands, tools.mover), model.exact);
  new StageView(stage, element, tools);
  new Inspector(stage, part(".cz-inspector"), server, canvas.painter, choose);
  new BesideView(stage, element);
  new ShelfView(stage, part(".cz-runs"));
  new Export(stage, part(".ex"), server);
  new VariationsView(stage, part(".cz-variations"));
  new Previews(stage, server);
  new Pictures(stage, server);
  new Loupe(node, part(".cz-loupe"));
  listen(stage, tools, zoom, sight, (name) => panel.press(name), node);
  gestures(stage, zoom, find(".cz-pane", element));
  insight(stage, node);
  tips();
  Object.assign(held, { tools, press: (/** @type {string} */ name) => panel.press(name) });
  Object.assign(window, { chisel: handle(stage, { canvas, hands, tools, panel, server, form }) });
  watch("value", () => stage.take(props.value));
  stage.changed();
  new Keeper(stage, write).restore();
  new Sessions(stage, server, () => box()?.value ?? null).restore();
  // after a refusal the page is free as soon as it says so, a moment before the event is over
  stage.asks.listen(() => !stage.busy || (stage.asks.waiting && said()));
}

// Pieces that came up before this script have left word; those that come later call at once.
const wake = (/** @type {[string, Piece]} */ [name, piece]) => {
  if (name in PIECES) PIECES[name](piece);
  else chapters.set(name, CHAPTERS[name]({ stage, hands, model }, recorder.listen(name, piece)));
};
/** @type {any} */
const page = window;
(page.chiselPieces ?? []).forEach(wake);
page.chiselPieces = { push: wake };
