"""What runs somewhere in a cluster: what its processes are told and ask for, and how what is lost is repeated."""
