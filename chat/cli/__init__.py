"""The commands of `chat`: users, archives, backups."""
