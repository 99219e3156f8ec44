# Options that NixOS has and that are not offered here: each gives an error that says why, or what to do instead.
#
#   imports = [ (import ./common/not-offered.nix [ "services" "nginx" ] { recommendedBrotliSettings = "…"; }) ];
path: reasons:
{ lib, options, ... }:
let
  option = reason: lib.mkOption {
    type = lib.types.unspecified;
    internal = true;
    visible = false;
    description = "Not offered: ${reason}";
  };
in
{
  options = lib.setAttrByPath path (lib.mapAttrs (_: option) reasons);
  config.assertions = lib.mapAttrsToList
    (name: reason: {
      assertion = !(lib.getAttrFromPath (path ++ [ name ]) options).isDefined;
      message = "${lib.showOption (path ++ [ name ])} is not offered: ${reason}";
    })
    reasons;
}
