"""What the front ends share: where statements end, how Ctrl-C stops one, how progress is told."""
