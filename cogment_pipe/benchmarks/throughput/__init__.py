"""How fast a stage trains, what it needs, and how long the start takes."""
