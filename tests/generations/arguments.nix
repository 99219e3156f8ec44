# Another argument for the kernel: it takes a boot to get there.
{ boot.kernelParams = [ "lichen.story=arguments" ]; }
