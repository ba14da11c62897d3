"""New visitors of the page who share what a browser learns of a server: each begins with nothing stored.

A browser context of its own for every test would fetch and compile all of Gradio's scripts anew, which is three
quarters of the time that a page takes to arrive. Here a context is used again once its tabs are closed and all that
its visitor left behind is gone; what was fetched stays. Tabs are always new, and so is what belongs to a tab.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ui.record.browser import arrived

DESK = {"width": 1320, "height": 900}


@dataclass
class Profile:
    """A context that is free for the next visitor, with an empty tab from which it is cleared."""

    context: Any
    wire: Any  # a CDP session of the empty tab
    empty: Any

    @classmethod
    def new(cls, chrome: Any, options: dict[str, Any]) -> Profile:
        context = chrome.new_context(**options)
        empty = context.new_page()
        return cls(context, context.new_cdp_session(empty), empty)

    def forget(self, address: str) -> bool:
        """Whether all is gone that the visitor left: tabs, cookies, storage, permissions. Not where they closed it."""
        if self.empty.is_closed():
            return False
        for page in self.context.pages:
            if page != self.empty:
                page.close()
        self.wire.send("Storage.clearDataForOrigin", {"origin": address, "storageTypes": "all"})
        self.context.clear_cookies()
        self.context.clear_permissions()
        return True


@dataclass
class Visitors:
    """One new visitor after the other."""

    chrome: Any
    free: dict[str, list[Profile]] = field(default_factory=dict)

    @contextmanager
    def welcome(self, address: str) -> Iterator[Any]:
        """visit(at="/#hash", **context options) for one test of the app at `address`; every visit is another visitor.

        Any script error, and any request that leaves the app's own address, fails the test at its end.
        """
        here: list[tuple[str, Profile]] = []
        wrong: list[str] = []

        def asked(request: Any) -> None:
            if not request.url.startswith((address, "data:", "blob:")):
                wrong.append(f"a request left the origin: {request.url}")

        def visit(at: str = "", **options: Any) -> Any:
            size = options.pop("viewport", DESK)
            kind = json.dumps([address, options], sort_keys=True)
            kept = self.free.setdefault(kind, [])
            profile = kept.pop() if kept else Profile.new(self.chrome, {"viewport": size, **options})
            here.append((kind, profile))
            profile.context.on("request", asked)
            page = profile.context.new_page()
            page.set_default_timeout(60_000)
            page.set_viewport_size(size)
            page.on("pageerror", lambda error: wrong.append(f"a script failed: {error}"))
            page.goto(address + at)
            return arrived(page)

        yield visit
        for kind, profile in here:
            profile.context.remove_listener("request", asked)
            if profile.forget(address):
                self.free[kind].append(profile)
        assert not wrong, wrong
