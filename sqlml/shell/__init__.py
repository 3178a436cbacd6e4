"""The `sqlml` command: an interactive shell, and a program for pipes and scripts.

It parses no SQL beyond finding where statements end, and computes nothing: every answer comes from
a connection. stdout carries data alone; messages, errors and progress go to stderr.
"""

from sqlml.shell.main import main

__all__ = ["main"]
