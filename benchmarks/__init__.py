"""Benchmarks: both sides of a comparison in one run, each repetition in a process of its own."""
