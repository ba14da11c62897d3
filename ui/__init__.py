"""The studio: the page in the browser and the events behind it. Imports mdm_core; app.py and `chisel` start it."""
