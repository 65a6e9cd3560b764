"""Search methods, one file each, and the registry through which a configuration finds them."""
