"""The stage: a run of the model on a grid of cells, as a visitor sees and holds it. Its rooms:

stage.js, view.js    the state that everything on the page reads and hears of; what stands around the canvas
run/                 a run as it travels and is kept: its steps, numbers, cells, words
time/                timeline and player
canvas/              how a step is drawn: stone, picture, maps, marks, a closer look
kept/                what is kept by hand: changes and locks with undo, earlier runs, variations, a lost connection
ask/                 what is asked of the server: runs, and pictures of steps that came without
"""
