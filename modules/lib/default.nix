# The library that modules see as `lib`: nixpkgs' names and meanings, as far as Lichen's modules use them.
#
# No function of nixpkgs' means anything else here, and one that is missing fails loudly ("attribute
# missing"), so that a module that evaluates here means the same on NixOS.
let
  parts = {
    trivial = import ./trivial.nix lib;
    lists = import ./lists.nix lib;
    attrsets = import ./attrsets.nix lib;
    strings = import ./strings.nix lib;
    options = import ./options.nix lib;
    modules = import ./modules.nix lib;
  };

  lib = parts.trivial // parts.lists // parts.attrsets // parts.strings // parts.options // parts.modules
    // parts // {
    types = import ./types.nix lib;
    generators = import ./generators.nix lib;
    errors = import ./errors.nix lib;
    versions = {
      inherit (builtins) splitVersion;
      major = v: builtins.elemAt (builtins.splitVersion v) 0;
      minor = v: builtins.elemAt (builtins.splitVersion v) 1;
      majorMinor = v: lib.concatStringsSep "." (lib.take 2 (builtins.splitVersion v));
    };
    meta = { inherit (lib) getExe getExe'; };
  };
in
lib
