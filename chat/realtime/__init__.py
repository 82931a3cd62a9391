"""Open pages: who watches which room, what they have been sent, and who is online."""
