"""Tools for people who work on the chat. Nothing here is part of the installed package."""
