"""Three workers behind nginx, with clients and publishers, and faults of all kinds."""
