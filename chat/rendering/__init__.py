"""From messages, rooms and people to HTML, JSON and text."""
