"""The images, run for real: alone, by a mounted file, and in a compose file that was written for apache/kafka."""
