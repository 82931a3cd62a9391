"""Webhooks of bots: which messages are sent, when, and how they are signed."""
