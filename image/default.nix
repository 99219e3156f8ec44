# Configuration → bytes: the only place that knows layout. Wires the parts together for one lock.
{ root, lockText }:
let
  lib = import ./lib.nix;
  lock = builtins.fromJSON lockText;
  debian = import ./debian { inherit lib lock; };
  rust = import ./rust { inherit lib debian root; };

  named = folder: builtins.listToAttrs (map
    (file: { name = builtins.head (builtins.match "(.*)\\.nix" file); value = root + "/${folder}/${file}"; })
    (builtins.filter (file: builtins.match ".*\\.nix" file != null) (builtins.attrNames (builtins.readDir (root + "/${folder}")))));
  boards = map import (builtins.attrValues (named "hardware"));

  kernel = import ./kernel { inherit lib debian boards; };
  initrd = import ./initrd { inherit lib debian kernel rust boards; };
  boot = import ./boot { inherit lib debian kernel initrd boards; };
  layers = import ./layers.nix { inherit lib debian; compose = rust.host "compose"; };
  disk = import ./disk { inherit lib debian; };
  generation = import ./appliance.nix { inherit lib debian rust kernel boot layers disk lock lockText; };

  # `pkgs`: Debian's packages and our services, by name.
  crate = name: derivation: {
    type = "derivation";
    inherit name;
    pname = name;
    outPath = debian.mark derivation;
    meta.mainProgram = name;
  };
  pkgs = debian.pkgs // builtins.mapAttrs crate rust.device;

  modules = import (root + "/modules") { };
  appliance = name: module:
    let
      evaluated = modules.evalAppliance {
        inherit pkgs;
        modules = [ module ({ config, ... }: { system.build = { inherit (generation name config) toplevel image layersByName; }; }) ];
      };
    in evaluated;
in rec {
  nixosConfigurations = builtins.mapAttrs appliance (named "appliances");

  packages = {
    fake-hat = rust.device.fake-hat;
    test-tools = debian.testTree;
    inherit initrd;
    kernel = kernel.tree;
  } // builtins.listToAttrs (builtins.concatMap (name:
    let build = nixosConfigurations.${name}.config.system.build; in [
      { name = "${name}-image"; value = build.image; }
      { name = "${name}-toplevel"; value = build.toplevel; }
    ]) (builtins.attrNames nixosConfigurations));

  checks = { };
}
