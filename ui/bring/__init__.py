"""What visitors bring: pictures, saved runs, links."""
