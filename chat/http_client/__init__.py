"""HTTP requests to servers that others name: public addresses only, within limits."""
