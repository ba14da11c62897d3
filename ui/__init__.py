"""The studio: the page in the browser and the events behind it. Imports mdm_core only; app.py imports this."""
