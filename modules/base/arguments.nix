# What modules get besides config, lib, pkgs and options.
{ lib, ... }:
{
  _module.args.utils = import ./systemd/utils.nix { inherit lib; };
}
