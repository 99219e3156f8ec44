# A link that heals: what a device does while no gateway answers. `lichenctl heal` watches; docs/how-it-works/network.md
# tells how.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.lichen.network.heal;
  seconds = default: description: mkOption { type = types.ints.positive; inherit default description; };
  settings = builtins.toJSON {
    reconnect_after = cfg.reconnectAfter;
    reload_driver_after = cfg.reloadDriverAfter;
    reboot_after = cfg.rebootAfter;
    inherit (cfg) interfaces;
    tunnels = lib.concatLists (lib.mapAttrsToList
      (interface: i: map (p: { inherit interface; peer = p.publicKey; inherit (p) endpoint; })
        (lib.filter (p: p.endpoint != null) i.peers))
      config.networking.wireguard.interfaces);
  };
in
{
  options.lichen.network.heal = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the device does something about a network in which no gateway answers, and looks up the endpoints of WireGuard
        again when their handshakes are stale.
      '';
    };
    interfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "wlan0" ];
      description = ''
        The interfaces that count. None: all. As long as a gateway answers on one of them, nothing is done; so name the one
        that leads to the internet if another one has a gateway that does not.
      '';
    };
    reconnectAfter = seconds 120 "Seconds without an answer after which the device connects again. It does so for ever, after twice the time each, up to an hour.";
    reloadDriverAfter = seconds 600 "Seconds after which it loads the driver of its radio again, if that is a module; for ever, up to an hour apart.";
    rebootAfter = mkOption {
      type = types.nullOr types.ints.positive;
      default = 3600;
      description = ''
        Seconds after which it reboots; null: never. If that does not help, the next reboot is after twice the time, up to a day. They
        count among {option}`lichen.recovery.rebootsPerDay`, and take no more than half of it. A device on which no gateway has ever
        answered is not rebooted.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    environment.etc."lichen/link.json".text = settings;
    systemd.services.lichen-heal = {
      description = "Heal the network while no gateway answers";
      wantedBy = [ "multi-user.target" ];
      after = [ "systemd-networkd.service" ];
      restartTriggers = [ settings ];
      serviceConfig = import ../services/common/restrained.nix // {
        ExecStart = "${pkgs.lichenctl}/bin/lichenctl heal";
        Restart = "always";
        RestartSec = "10s";
        # It asks for neighbours, sets endpoints, and loads drivers; all else others do for it.
        CapabilityBoundingSet = [ "CAP_NET_ADMIN" "CAP_SYS_MODULE" ];
        ProtectKernelModules = false;
        DevicePolicy = "closed";
        ProtectSystem = "strict";
        ReadWritePaths = [ "-/run/lichen" "-/var/lib/lichen" "-/var/lib/iwd" ];
        RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_NETLINK" "AF_UNIX" ];
        SystemCallErrorNumber = "EPERM";
        SystemCallFilter = [ "@system-service @module" "~@resources" ];
        UMask = "0077";
      };
    };
  };
}
