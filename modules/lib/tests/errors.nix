# Error messages: option, value and file, on one line.
{ lib, ... }:
let
  inherit (lib) mkOption mkForce types;
  base = {
    _file = "base.nix";
    options.services.climate = {
      enable = lib.mkEnableOption "climate";
      port = mkOption { type = types.port; default = 8080; };
      name = mkOption { type = types.str; };
      fixed = mkOption { type = types.int; default = 1; readOnly = true; };
      sensors = mkOption { default = { }; type = types.attrsOf (types.submodule { options.bus = mkOption { type = types.int; default = 1; }; }); };
    };
  };
  problems = m: (lib.evalModules { modules = [ base ({ _file = "appliances/x.nix"; } // m) ]; }).problems;
  says = m: text: { expr = problems m; expected = [ text ]; };
in
{
  "unknown option, with what was meant" = says { services.clmate.enable = true; }
    "The option `services.clmate.enable' does not exist. Defined in appliances/x.nix. Did you mean `services.climate.enable'?";
  "unknown group" = says { services.clmate = { enable = true; port = 1; }; }
    "The option `services.clmate' does not exist. Defined in appliances/x.nix. Did you mean `services.climate'?";
  "unknown, and nothing like it" = says { boot.loader.grub.device = "/dev/sda"; }
    "The option `boot.loader.grub.device' does not exist. Defined in appliances/x.nix.";
  "unknown in a submodule" = says { services.climate.sensors.hat.bsu = 1; }
    "The option `services.climate.sensors.hat.bsu' does not exist. Defined in appliances/x.nix. Did you mean `services.climate.sensors.hat.bus'?";
  "wrong type" = says { services.climate.port = "80"; }
    "A definition for option `services.climate.port' is not of type `16 bit unsigned integer; between 0 and 65535 (both inclusive)'. Defined as \"80\" in appliances/x.nix.";
  "wrong type inside a submodule" = says { services.climate.sensors.hat.bus = null; }
    "A definition for option `services.climate.sensors.hat.bus' is not of type `signed integer'. Defined as null in appliances/x.nix.";
  "a value where options are" = {
    expr = (lib.evalModules { modules = [ base { services.climate = true; } ]; }).config.services.climate.enable;
    fails = true;
  };
  "a set where a value is" = says { services.climate.enable = { yes = true; }; }
    "A definition for option `services.climate.enable' is not of type `boolean'. Defined as { yes = true; } in appliances/x.nix.";
  "conflicting definitions" = {
    expr = (lib.evalModules { modules = [ base { _file = "a.nix"; services.climate.port = 1; } { _file = "b.nix"; services.climate.port = 2; } ]; }).problems;
    expected = [ "The option `services.climate.port' has conflicting definitions: 2 in b.nix, 1 in a.nix. Say which one wins with `lib.mkForce', or which gives way with `lib.mkDefault'." ];
  };
  "set although read-only" = says { services.climate.fixed = 2; }
    "The option `services.climate.fixed' is read-only, but it is set: 2 in appliances/x.nix.";
  "missing value" = {
    expr = (lib.evalModules { modules = [ base ]; }).options.services.climate.name.problem;
    expected = "The option `services.climate.name' was accessed but has no value defined. Declared in base.nix. Try setting the option.";
  };
  "a missing value nobody reads is no problem" = { expr = problems { }; expected = [ ]; };
  "a forced definition hides no problem" = says { services.climate.port = mkForce (-1); }
    "A definition for option `services.climate.port' is not of type `16 bit unsigned integer; between 0 and 65535 (both inclusive)'. Defined as -1 in appliances/x.nix.";
  "failed assertion" = {
    expr = lib.errors.failedAssertions [{ message = "port 22 is taken"; file = "modules/services/climate.nix"; }];
    expected = "Failed assertion: port 22 is taken (asserted in modules/services/climate.nix)";
  };
  "failed assertions" = {
    expr = lib.errors.failedAssertions [{ message = "a"; } { message = "b"; }];
    expected = "Failed assertions:\n- a\n- b";
  };
  "files are named relative to the project or the flake" = {
    expr = map lib.errors.showFile [ ../errors.nix "${builtins.storeDir}/00000000000000000000000000000000-source/appliances/x.nix" "/home/me/x.nix" ];
    expected = [ "modules/lib/errors.nix" "appliances/x.nix" "/home/me/x.nix" ];
  };
  "names that need quotes have them" = { expr = lib.showOption [ "environment" "etc" "a/b.conf" "<name>" ]; expected = "environment.etc.\"a/b.conf\".<name>"; };
  "values are shown short" = {
    expr = map lib.errors.showValue [ (x: x) [ 1 [ 2 ] 3 4 5 ] { a = { b = 1; }; } { outPath = "/usr"; name = "ffmpeg"; } (throw "no") ];
    expected = [ "<function>" "[ 1 [ … ] 3 4 … ]" "{ a = { … }; }" "<package ffmpeg>" "<error>" ];
  };
}
