# What the channel should never have brought, either.
{ imports = [ ./follows.nix ./never-boots.nix ]; }
