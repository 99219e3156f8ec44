# What must hold, what should be heard, and what a module says of itself.
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
      description = "Maintainers and documentation of modules; read by nobody here.";
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
