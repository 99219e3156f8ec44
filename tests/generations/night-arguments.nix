# What the channel brings by night, and what takes a boot.
{ imports = [ ./night.nix ./arguments.nix ]; }
