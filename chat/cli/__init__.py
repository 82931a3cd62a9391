"""The commands of `chat` besides `serve`: accounts, archives, backups."""
