# Nix on the device: it receives closures and keeps what generations need. It builds nothing.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption mkDefault types;
  cfg = config.nix;
  atom = types.nullOr (types.oneOf [ types.bool types.int types.str types.path ]);
  value = v: if v == true then "true" else if v == false then "false" else if v == null then "" else if builtins.isList v then lib.concatMapStringsSep " " value v else toString v;
  keys = description: mkOption { type = types.listOf types.str; default = [ ]; inherit description; };
in
{
  options.nix = {
    settings = mkOption {
      default = { };
      example = { trusted-public-keys = [ "fleet-1:h8wGnPKYdfLnYoVFzEcwT3kWnC4EzWnWcnSx2sFrKcw=" ]; };
      description = "Settings of Nix, as in {manpage}`nix.conf(5)`.";
      type = types.submodule {
        freeformType = types.attrsOf (types.either atom (types.listOf atom));
        options = {
          trusted-public-keys = keys "Public keys of those whose signed store paths are accepted.";
          trusted-users = mkOption { type = types.listOf types.str; default = [ "root" ]; description = "Users who may bring in store paths that nobody signed."; };
          substituters = keys "Binary caches that store paths are fetched from.";
          require-sigs = mkOption { type = types.bool; default = true; description = "Whether store paths need a signature by one of the trusted keys."; };
        };
      };
    };
    extraOptions = mkOption { type = types.lines; default = ""; example = "keep-outputs = true"; description = "Further lines of {file}`nix.conf`."; };
  };

  config = {
    nix.settings = lib.mapAttrs (_: mkDefault) {
      # There are no users to build as, since root only unpacks here.
      build-users-group = "";
      max-jobs = 0;
      sandbox = false;
      experimental-features = [ "nix-command" "flakes" ];
      # What is registered as valid is on the card: a power cut after that loses nothing.
      fsync-metadata = true;
      fsync-store-paths = true;
      # Closures are kept whole, but not what they were built from.
      keep-derivations = false;
    };
    assertions = [{
      assertion = lib.all (user: user == "root") cfg.settings.trusted-users;
      message = "nix.settings.trusted-users: only root brings in store paths and changes generations, as the device has neither a nix-daemon nor sudo. Deploy as root, whose keys users.users.root.openssh.authorizedKeys and lichen.toml name.";
    }];
    environment.etc."nix/nix.conf".text = lib.concatStrings (lib.mapAttrsToList (name: v: "${name} = ${value v}\n") cfg.settings) + cfg.extraOptions;

    # The image's own closure, so that a client copies only what is new and nothing of it is collected.
    systemd.services.lichen-register = {
      description = "Register the image in Nix's database";
      wantedBy = [ "multi-user.target" ];
      # Nobody may add paths before this has run: Nix would replace those that it does not know.
      before = [ "ssh.service" ];
      unitConfig = {
        RequiresMountsFor = "/nix";
        ConditionPathExists = [ "/nix/registration" "!/nix/var/nix/registered" ];
      };
      # It keeps a processor busy for seconds, which services need more while they start.
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; TimeoutStartSec = 300; Nice = 19; };
      # Nix syncs the version of its database before its tables: after a power cut in between it would refuse to work
      # for ever. So an attempt that was cut off is begun again from nothing; nothing else is in the database yet.
      script = ''
        rm -rf /nix/var/nix/db
        /usr/bin/nix-store --load-db < /nix/registration
        sync -f /nix
        : > /nix/var/nix/registered
      '';
      restartIfChanged = false;
    };
  };
}
