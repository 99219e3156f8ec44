{
  description = "Lichen: a page of configuration becomes a Linux appliance for Raspberry Pi";

  # No inputs: the build engine is in image/, Debian's packages in image/debian/lock.json.
  outputs = { self }:
    let
      system = "x86_64-linux";
      on = lockText: import ./image { root = ./.; inherit lockText; };
      outputs = made: {
        inherit (made) nixosConfigurations;
        packages.${system} = made.packages;
        checks.${system} = made.checks;
      };
    in outputs (on (builtins.readFile ./image/debian/lock.json)) // {
      # The same outputs on another lock: `./lichen build` heals one that has aged.
      lib.withLock = file: outputs (on (builtins.readFile file));
    };
}
