// overlays
