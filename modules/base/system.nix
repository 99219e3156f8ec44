# What the appliance is built into: filled in by image/, which turns the configuration into bytes.
{ lib, config, options, ... }:
let
  inherit (lib) mkOption types;
  enforced = lib.checked { inherit config options; };
in
{
  options.system = {
    build = mkOption {
      type = types.lazyAttrsOf types.unspecified;
      default = { };
      # Nothing is built of a configuration whose assertions fail.
      apply = builtins.mapAttrs (_: enforced);
      description = "What is made from the configuration: `toplevel`, `image` and their parts.";
    };
    stateVersion = mkOption {
      type = types.str;
      default = "25.11";
      example = "25.11";
      description = ''
        The release whose defaults for persistent state this appliance began with. Choose it once; it keeps data
        that is on devices readable by later versions.
      '';
    };
    configurationRevision = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = lib.literalExpression "self.rev or self.dirtyRev or null";
      description = ''
        The revision of the sources of this configuration, which `lichenctl status` and `lichenctl list` show. It is part of the
        generation, so with it each commit is another generation.
      '';
    };
    name = mkOption {
      type = types.str;
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "The name of the appliance, used in the names of what is built from it.";
    };
  };
}
