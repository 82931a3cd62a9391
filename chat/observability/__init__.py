"""Metrics, log filters, and how late the event loop is."""
