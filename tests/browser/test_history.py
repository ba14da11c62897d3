"""Back and Forward of the browser in Learn: chapter by chapter, then where one was before; links are left alone."""

from learn_hands import carved, chapter

from ui.record.browser import CANVAS, arrived, dataset, settled

NOW = "document.querySelector('#place [data-chapter]').dataset.chapter"
LEARNING = f"(name) => document.body.dataset.task === 'learn' && {NOW} === name"


def test_back_goes_from_chapter_to_chapter_and_then_to_where_one_was(studio):
    studio.locator("button[data-task=edit]").click()
    for name in ("token", "forward", "editing"):
        chapter(studio, name)
    studio.locator("button[data-task=create]").click()
    assert "chapter=" not in studio.url
    for name in ("editing", "forward", "token"):
        studio.go_back()
        studio.wait_for_function(LEARNING, arg=name)
        assert f"chapter={name}" in studio.url
    studio.go_back()
    studio.wait_for_function("() => document.body.dataset.task === 'edit'")
    assert "chapter=" not in studio.url
    for name in ("token", "forward"):
        studio.go_forward()
        studio.wait_for_function(LEARNING, arg=name)
    studio.reload()
    arrived(studio).wait_for_function(LEARNING, arg="forward")
    studio.go_back()
    studio.wait_for_function(LEARNING, arg="token")


def test_back_changes_the_place_and_neither_the_picture_nor_the_link_in_the_address(visit, address):
    page = visit()
    carved(page)
    chapter(page, "token")
    page.locator(".ex-button", has_text="link").first.evaluate("button => button.click()")
    page.wait_for_function("() => location.hash.startsWith('#c')")
    chapter(page, "forward")
    old = dataset(page)["run"]
    page.locator("#prompt textarea").fill("a panda on a teal background")
    page.locator("#generate").click()
    new = settled(page, other_than=old)["run"]
    assert "#" not in page.url  # the link was of another picture
    page.go_back()
    page.wait_for_function(LEARNING, arg="token")
    page.wait_for_function("() => !location.hash")
    page.evaluate("() => new Promise((done) => setTimeout(done, 400))")
    assert dataset(page)["run"] == new and dataset(page)["state"] == "done"


def test_a_link_put_into_the_address_still_opens_and_back_from_it_too(visit):
    page = visit()
    carved(page)
    page.locator(".ex-button", has_text="link").first.evaluate("button => button.click()")
    page.wait_for_function("() => location.hash.startsWith('#c')")
    link = page.evaluate("location.hash")
    before = dataset(page)["run"]
    page.locator("#prompt textarea").fill("a panda on a teal background")
    page.locator("#generate").click()
    before = settled(page, other_than=before)["run"]
    chapter(page, "token")
    page.evaluate("hash => { location.hash = hash; }", link)
    opened = settled(page, other_than=before)["run"]
    assert page.evaluate("location.hash") == link
    chapter(page, "forward")
    page.go_back()
    page.wait_for_function(LEARNING, arg="token")
    assert page.evaluate("location.hash") == link
    page.wait_for_function(f"id => {CANVAS}.run === id", arg=opened)
