"""What leaves the studio: pictures, animations, replay pages, saved runs, links."""
