import assert from "node:assert/strict";
import test from "node:test";

import { linkTo } from "../../ui/export/address.js";
import { recall, remember } from "../../ui/layout/storage.js";
import { byScript } from "../../ui/stage/kept/keep.js";

test("a link carries the page, its prefix, class mode and the run, and nothing of others", () => {
  const at = (href) => linkTo(new URL(href), "c2=AbC_-9");
  assert.equal(at("http://127.0.0.1:7860/"), "http://127.0.0.1:7860/#c2=AbC_-9");
  assert.equal(at("https://school.example/chisel/?class=1#c2=old"), "https://school.example/chisel/?class=1#c2=AbC_-9");
  assert.equal(at("http://[::1]:7860/?utm_source=mail&__theme=dark&class=1&fbclid=x"), "http://[::1]:7860/?class=1#c2=AbC_-9");
  assert.equal(at("https://a-b.hf.space/?__sign=secret.jwt&__theme=light#c2=old&x"), "https://a-b.hf.space/#c2=AbC_-9");
  for (const other of ["class=0", "class=", "class", "klass=1", "x=class=1", "class=11"]) {
    assert.equal(at(`http://h/?${other}`), "http://h/#c2=AbC_-9");
  }
});

/** Puts `storage` in place of this browser's own while `work` runs. */
function within(storage, work) {
  const had = ["localStorage", "sessionStorage"].map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  for (const [name] of had) Object.defineProperty(globalThis, name, { configurable: true, get: storage });
  try { work(); } finally {
    for (const [name, own] of had) own ? Object.defineProperty(globalThis, name, own) : delete globalThis[name];
  }
}

test("what is remembered comes back, and can be forgotten", () => {
  const kept = new Map();
  const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, text) => kept.set(name, text), removeItem: (name) => kept.delete(name) };
  within(() => storage, () => {
    assert.equal(recall("localStorage", "a"), null);
    assert.equal(remember("localStorage", "a", "x"), true);
    assert.equal(recall("localStorage", "a"), "x");
    assert.equal(remember("localStorage", "a", null), true);
    assert.equal(kept.size, 0);
  });
});

test("storage that is denied, missing or full costs nothing else", () => {
  const denied = () => { throw new Error("SecurityError"); };
  const full = { getItem: () => null, removeItem: denied, setItem: denied };
  for (const storage of [denied, () => null, () => undefined, () => full]) {
    within(storage, () => {
      for (const where of ["localStorage", "sessionStorage"]) {
        assert.equal(recall(where, "a"), null);
        assert.equal(remember(where, "a", "x"), false);
        assert.equal(remember(where, "a", null), false);
      }
    });
  }
});

test("a reload by a script is told from one by hand", () => {
  assert.equal(byScript({ navigationType: "reload", userInitiated: false }), true);
  assert.equal(byScript({ navigationType: "reload", userInitiated: true }), false);
  assert.equal(byScript({ navigationType: "replace", userInitiated: false }), false);
});
