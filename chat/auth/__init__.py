"""Proving who somebody is: passwords, JSON Web Tokens, one-time links."""
