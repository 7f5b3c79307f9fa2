"""Training through a hierarchy of coarser copies of the network itself (multigrid in width)."""
