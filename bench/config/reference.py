"""The method that others are compared with by default."""

REFERENCE = "lora"
