"""All of the worst files by name."""

import worst_of_encoders
import worst_of_media
import worst_of_releases
import worst_of_results
from worst import WORST

__all__ = ["WORST", "worst_of_encoders", "worst_of_media", "worst_of_releases", "worst_of_results"]
