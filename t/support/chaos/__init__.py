"""Three workers behind nginx, clients and publishers, and what goes wrong around them."""
