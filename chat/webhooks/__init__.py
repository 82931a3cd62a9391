"""Webhooks of bots: what is sent, when, and how it is signed."""
