# Configurations that the programs themselves judge while the appliance is built.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.lichen.configurationChecks = mkOption {
    default = { };
    internal = true;
    description = ''
      Checks, by name, that have to succeed for the appliance to be built. Each runs on the build machine, under user-mode
      QEMU, the very programs that the device has.
    '';
    type = types.attrsOf (types.submodule {
      options = {
        packages = mkOption { type = types.listOf types.package; description = "The packages whose programs are run."; };
        etc = mkOption { type = types.listOf types.str; default = [ ]; description = "The files that they find below {file}`/etc`: names of {option}`environment.etc`."; };
        script = mkOption {
          type = types.lines;
          description = ''
            Shell commands. `device PROGRAM ARGUMENTS…` runs a program of the device by its absolute path, and
            `stand_in PROGRAM` makes one that other programs, and PATH, find by its name. A program finds the files of its
            packages and of `etc` where they are on the device; what it writes is lost.
          '';
        };
      };
    });
  };
}
