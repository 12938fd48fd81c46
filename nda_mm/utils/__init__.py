"""Files, and the words of messages: what every part of the package may use."""
