"""Text that is shown as it is, whoever wrote it: on a terminal, in Markdown, CSV and HTML."""
