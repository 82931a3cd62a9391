"""Pages, forms and live connections: what turns requests into calls and answers into HTML."""
