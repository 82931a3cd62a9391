"""Uploaded files and pictures: decoding, storing, serving, deleting."""
