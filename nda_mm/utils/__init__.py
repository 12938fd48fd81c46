"""Helpers that every part of the package may use: files, messages, processes, RNG state and schedules."""
