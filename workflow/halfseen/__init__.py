"""Halfseen: what frozen image encoders still know when part of the picture is missing."""
