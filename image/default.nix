# Configuration → bytes: the only place that knows the layout of disks. It connects the parts below, for one lock.
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
      made = generation name evaluated.config;
      evaluated = modules.evalAppliance {
        inherit pkgs;
        modules = [ module { system.build = {
          inherit (made) toplevel image nixos-rebuild;
          images.sd-card = made.image // { passthru.filePath = "${name}.img.zst"; };
          vm = throw "system.build.vm is not offered: `./lichen vm ${name}` boots the image itself in QEMU.";
        }; } ];
      };
    in evaluated;

  options = modules.docs.list (modules.evalAppliance { inherit pkgs; modules = [ ]; }).options;
  moduleTests = import (root + "/modules/tests.nix");
  nixosConfigurations = builtins.mapAttrs appliance (named "appliances");

  # Generations that stories deploy, onto the appliance that the name begins with or else onto climate: for each
  # tests/generations/<name>.nix the part of its closure that DATA lacks (<name>.tar.zst) and its registration for Nix's database
  # (<name>.registration).
  testGenerations =
    let
      onto = name: builtins.head (builtins.filter (of: builtins.match "${of}-.+" name != null) (builtins.attrNames nixosConfigurations) ++ [ "climate" ]);
      variant = of: file: (appliance of { imports = [ (root + "/appliances/${of}.nix") file ]; }).config.system.build.toplevel;
      base = of: nixosConfigurations.${of}.config.system.build.toplevel;
      pack = name: file: let toplevel = variant (onto name) file; in debian.inTools "generation-${name}" {
        base = base (onto name);
        inherit toplevel;
        variant = name;
        registration = disk.registration toplevel;
        exportReferencesGraph = [ "old" (base (onto name)) "new" toplevel ];
      } ''
        paths() { grep '^/nix/store/' $1 | sort -u; }
        mkdir $out
        comm -13 <(paths old) <(paths new) | sed 's,^/,,' > paths
        tar -C / --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 -c -T paths | zstd -q -3 > $out/$variant.tar.zst
        cp $registration $out/$variant.registration
        echo $toplevel > $out/$variant.toplevel
      '';
    in debian.runBusybox "test-generations" {
      packs = builtins.attrValues (builtins.mapAttrs pack (named "tests/generations"));
    } ''
      $bb mkdir $out
      for pack in $packs; do $bb cp $pack/* $out/; done
    '';
  # The page of docs/how-to/serve-a-web-application.md.
  webApplication = root + "/modules/daemons/tests/how-to/web.nix";
  # Images that only slow stories ask for: tests/images/<name>.nix.
  testImages = builtins.mapAttrs (name: file: (appliance name file).config.system.build.image) (named "tests/images");
in {
  inherit nixosConfigurations;

  packages = {
    inherit (rust.device) fake-hat;
    test-tools = debian.testTree;
    check-tools = debian.checkTree;
    test-generations = testGenerations;
    # Servers with what their modules make of a page: Debian's programs for this machine, and /etc of the device.
    servers = debian.runBusybox "servers" {
      tree = debian.serversTree;
      inherit (generation "servers" (appliance "servers" (root + "/crates/daemons/servers.nix")).config) etc;
    } "$bb mkdir $out; $bb ln -s $tree $out/root; $bb ln -s $etc $out/etc";
    options-docs = debian.runBusybox "options-docs" {
      markdown = modules.docs.markdown options;
      json = builtins.toJSON options;
      passAsFile = [ "markdown" "json" ];
    } ''
      $bb mkdir $out
      $bb cp $markdownPath $out/options.md
      $bb cp $jsonPath $out/options.json
    '';
  } // builtins.listToAttrs (builtins.concatMap (name:
    let build = nixosConfigurations.${name}.config.system.build; in [
      { name = "${name}-image"; value = build.image; }
      { name = "${name}-toplevel"; value = build.toplevel; }
    ]) (builtins.attrNames nixosConfigurations)
    ++ map (name: { name = "test-image-${name}"; value = testImages.${name}; }) (builtins.attrNames testImages));

  # Every toplevel depends on the checks of its units and service configurations; this one checks the module system
  # itself.
  checks.modules =
    if moduleTests.failures == [ ] then debian.runBusybox "module-tests" { inherit (moduleTests) count; } "echo $count passed > $out"
    else throw "module tests failed:\n${builtins.concatStringsSep "\n" moduleTests.failures}";

  checks.mistakes-seen = layers.mistakesSeen;
  checks.web-application = debian.runBusybox "web-application" {
    inherit (generation "web-application" (appliance "web-application" webApplication).config) configurationsJudged;
  } "echo $configurationsJudged > $out";
}
