# The same, and one check never passes.
{ imports = [ ./another-bus.nix ./never-healthy.nix ]; }
