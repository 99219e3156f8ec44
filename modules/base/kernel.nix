# The kernel: its arguments, modules and settings.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.boot;
  setting = v: if v == true then "1" else if v == false then "0" else toString v;
  names = description: example: mkOption {
    type = types.listOf types.str;
    default = [ ];
    apply = lib.unique;
    inherit description example;
  };
in
{
  options.boot = {
    kernelParams = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "quiet" ];
      description = "Arguments of the kernel's command line, besides those that the image needs to boot.";
    };
    kernelModules = names "Kernel modules to load at boot." [ "i2c-dev" ];
    blacklistedKernelModules = names "Kernel modules that are not loaded by themselves." [ "pcspkr" ];
    extraModprobeConfig = mkOption {
      type = types.lines;
      default = "";
      example = "options brcmfmac roamoff=1";
      description = "Lines of {file}`modprobe.d`.";
    };
    kernel.sysctl = mkOption {
      default = { };
      example = { "vm.swappiness" = 10; };
      type = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.str ]));
      description = "Kernel settings, as in {manpage}`sysctl.d(5)`. null leaves one as it is.";
    };
  };

  config = {
    environment.etc = {
      "modules-load.d/lichen.conf" = mkIf (cfg.kernelModules != [ ]) { text = lib.concatLines cfg.kernelModules; };
      "modprobe.d/lichen.conf" = mkIf (cfg.blacklistedKernelModules != [ ] || cfg.extraModprobeConfig != "") {
        text = lib.concatMapStrings (m: "blacklist ${m}\n") cfg.blacklistedKernelModules
          + lib.optionalString (cfg.extraModprobeConfig != "") (lib.removeSuffix "\n" cfg.extraModprobeConfig + "\n");
      };
      "sysctl.d/60-lichen.conf".text = lib.concatStrings (lib.mapAttrsToList
        (name: value: "${name}=${setting value}\n")
        (lib.filterAttrs (_: v: v != null) cfg.kernel.sysctl));
    };
    # Debian's units read these files, so that a change of one has to restart its unit.
    systemd.services.systemd-sysctl.restartTriggers = [ config.environment.etc."sysctl.d/60-lichen.conf".text ];
    systemd.services.systemd-modules-load.restartTriggers = mkIf (cfg.kernelModules != [ ]) cfg.kernelModules;
  };
}
