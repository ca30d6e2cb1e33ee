"""Hostile files, made by code so that each says what is wrong with it."""
