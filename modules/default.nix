# Options → evaluated configuration. It knows nothing of disks, layers or stores: its result is data.
#
#   modules { }  →  { lib, evalAppliance }
#   evalAppliance { modules, pkgs, specialArgs }  →  { config, options, problems, checked, … }
{ }:
let
  lib = import ./lib;

  # base: what every appliance has. daemons: options that put a daemon of Debian's to work. services: programs of this
  # project. A file in one of these folders is a module by being there; nobody lists it.
  modulesIn = dir: map (name: dir + "/${name}")
    (builtins.filter (lib.hasSuffix ".nix") (builtins.attrNames (lib.filterAttrs (_: kind: kind == "regular") (builtins.readDir dir))));

  own = modulesIn ./base ++ modulesIn ./daemons ++ modulesIn ./services;

  evalAppliance = { modules, pkgs, specialArgs ? { } }:
    let
      eval = lib.evalModules {
        modules = own ++ [{ _file = toString ./default.nix; key = "pkgs"; _module.args.pkgs = lib.mkOptionDefault pkgs; }] ++ modules;
        inherit specialArgs;
        class = "nixos";
      };
    in
    eval // {
      # By these names, tools made for NixOS look at what was evaluated.
      inherit lib pkgs;
      _module = eval._module // { inherit specialArgs; };
      # `checked value`: the value, once every assertion holds; warnings are printed on the way.
      checked = lib.checked eval;
      failedAssertions = lib.failedAssertions eval;
    };
in
{
  inherit lib evalAppliance;
  docs = import ./docs lib;
}
