"""The Learn task: tour, explorer and lab."""
