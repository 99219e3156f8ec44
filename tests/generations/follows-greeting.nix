# What the channel brings next.
{ imports = [ ./follows.nix ./greeting.nix ]; }
