# One more kernel module in the initrd: all of that is new, and it takes a boot to get there.
{ boot.initrd.availableKernelModules = [ "usb-storage" ]; }
