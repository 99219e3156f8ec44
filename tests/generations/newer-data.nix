# The same service, said to have its data in another version.
{ lib, ... }: { lichen.state.climate.version = lib.mkForce "2"; }
