# The kernel finds neither this program nor a root file system, and panics.
{ boot.kernelParams = [ "rdinit=/nonexistent" ]; }
