"""The page: a Gradio studio in which a picture is carved, looked into, edited and learnt from.

One folder a feature, with its script, style and markup together:

stage       the canvas and its time: run, painting, timeline, shelf, variations, asks for the model
hands       what a visitor does to cells: tools, keys, buttons, undo
inspector   one token: its figures, its history, what else it could be
prompt      hints about words, the palette
bring       a picture, a saved run, a link
export      files, links, the replay page
learn       tour, class mode, explorer, lab, narrator
layout      header, tasks, form, colours, and the controls that all share

main.js ties them to one Stage; assemble.py puts them into the page.
"""
