# Assertions, warnings, and what a module says about itself.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      internal = true;
      default = [ ];
      example = [{ assertion = false; message = "you can't enable this for that reason"; }];
      description = "Conditions that must hold for the configuration to make sense, with the message for when they don't.";
    };
    meta = mkOption {
      type = types.attrsOf types.unspecified;
      internal = true;
      default = { };
      description = "Maintainers and documentation of modules; accepted for NixOS's sake and not used here.";
    };
    warnings = mkOption {
      type = types.listOf types.str;
      internal = true;
      default = [ ];
      example = [ "The `foo' service is deprecated and will go away soon!" ];
      description = "Warnings to show when the appliance is built.";
    };
  };
}
