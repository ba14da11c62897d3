"""Published models brought to this machine: `python -m mdm_core.fetch owner/name`."""
