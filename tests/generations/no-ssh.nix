# A release without the way in.
{ lib, ... }: { services.openssh.enable = lib.mkForce false; }
