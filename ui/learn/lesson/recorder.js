// @ts-check
// What the pieces of Learn asked the server, and what came back: kept while the page is open, so that a chapter can be
// saved with it; and given back in a file, where no server is.

/**
 * What Gradio gives to the script of a piece.
 * @typedef {{element: HTMLElement, props: any, trigger: (name: string, data: any) => void,
 *   watch: (name: string, call: () => void) => void, server: Record<string, (data: any) => Promise<any>>}} Piece
 *
 * calls are [function, data, answer]; live are [event, data, messages], the newest last.
 * @typedef {{calls: [name: string, data: any, answer: any][], live: [name: string, data: any, messages: any[]][]}} Kept
 */

const CALLS_KEPT = 600; // of a piece
const LIVE_KEPT = 4;
export const NOT_HERE = "This file holds what was looked at when it was saved, and nothing else.";

/** @param {string} name @param {any} data */
const keyOf = (name, data) => `${name} ${JSON.stringify(data)}`;

export class Recorder {
  constructor() {
    /** @type {Map<string, {calls: Map<string, Kept["calls"][0]>, live: Kept["live"]}>} */
    this.pieces = new Map();
  }

  /** The piece, listened to. @param {string} name @param {Piece} piece @returns {Piece} */
  listen(name, piece) {
    /** @type {{calls: Map<string, Kept["calls"][0]>, live: Kept["live"]}} */
    const kept = { calls: new Map(), live: [] };
    this.pieces.set(name, kept);
    const server = new Proxy(piece.server ?? {}, {
      get: (from, call) => async (/** @type {any} */ data) => {
        const answer = await from[/** @type {string} */ (call)](data);
        if (answer && !answer.error) {
          const key = keyOf(String(call), data);
          kept.calls.delete(key);
          kept.calls.set(key, [String(call), data, answer]);
          if (kept.calls.size > CALLS_KEPT) kept.calls.delete(kept.calls.keys().next().value);
        }
        return answer;
      },
    });
    const trigger = (/** @type {string} */ event, /** @type {any} */ data) => {
      kept.live.push([event, data, []]);
      if (kept.live.length > LIVE_KEPT) kept.live.shift();
      piece.trigger(event, data);
    };
    const watch = (/** @type {string} */ prop, /** @type {() => void} */ call) => piece.watch(prop, () => {
      if (prop === "value" && piece.props.value) kept.live[kept.live.length - 1]?.[2].push(piece.props.value);
      call();
    });
    return { element: piece.element, props: piece.props, trigger, watch, server };
  }

  /** What is kept of a piece. @param {string} name @returns {Kept} */
  kept(name) {
    const found = this.pieces.get(name);
    const live = (found?.live ?? []).filter(([, , messages]) => messages.length && !messages.at(-1).error);
    return { calls: [...(found?.calls.values() ?? [])], live };
  }
}

/**
 * A piece in a file: the server answers what it answered before, an event brings the messages that it brought before.
 * @param {HTMLElement} element @param {Kept} kept @param {number} pace ms between two messages
 * @returns {Piece & {kept: Kept}}
 */
export function replayed(element, kept, pace = 500) {
  const answers = new Map(kept.calls.map(([name, data, answer]) => [keyOf(name, data), answer]));
  const props = { value: /** @type {any} */ (null) };
  /** @type {(() => void)[]} */
  const watching = [];
  const say = (/** @type {any} */ message) => {
    props.value = message;
    for (const call of watching) call();
  };
  return {
    element,
    props,
    kept,
    server: new Proxy({}, {
      get: (_, call) => async (/** @type {any} */ data) => answers.get(keyOf(String(call), data)) ?? { error: NOT_HERE },
    }),
    watch: (name, call) => { if (name === "value") watching.push(call); },
    trigger: (event, data) => {
      const found = kept.live.find(([name, before]) => name === event && alike(before, data));
      if (!found) return say({ error: NOT_HERE });
      found[2].forEach((message, i) => setTimeout(() => say(message), i * pace));
    },
  };
}

/** The same ask, whatever the seed. @param {any} a @param {any} b */
function alike(a, b) {
  const plain = (/** @type {any} */ one) => JSON.stringify({ ...one, seed: 0 });
  return plain(a) === plain(b);
}
