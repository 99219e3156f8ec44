# What the channel should never have brought.
{ imports = [ ./follows.nix ./broken-service.nix ]; }
