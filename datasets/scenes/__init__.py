"""What worlds share: composed scenes, expressions for their objects, floors, and the layouts of official releases.

A world gives things, backgrounds and sounds. `mini` draws shapes; `natural` takes pictures and sounds from media that
the user has. What is here serves both.
"""
