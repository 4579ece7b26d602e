"""The method that the others are compared with, where nothing else is chosen."""

REFERENCE = "lora"
