# Figures of the device for a Prometheus: Debian's node exporter, with the options that NixOS has for it.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkIf mkOption types;
  exporter = import ./common/exporter.nix { inherit lib; };
  cfg = config.services.prometheus.exporters.node;
  # Debian's looks for files of others where there are none, which is an error in the journal at each scrape.
  textfile = lib.elem "textfile" cfg.enabledCollectors || lib.any (lib.hasInfix "collector.textfile") cfg.extraFlags;
  # What the device knows of itself is passed on by each service of this project, which the courier finds all of. Without one, this is
  # who does.
  others = [ "node" ] ++ lib.attrNames (removeAttrs config.services.prometheus.exporters [ "node" ]);
  passedOn = removeAttrs (config.services.courier.scrape.targets or { }) others != { };
  device = !textfile && !passedOn && !lib.elem "textfile" cfg.disabledCollectors;
  flags = map (name: "--collector.${name}") cfg.enabledCollectors
    ++ map (name: "--no-collector.${name}") (lib.unique (cfg.disabledCollectors ++ lib.optional (!textfile && !device) "textfile"))
    ++ lib.optional device "--collector.textfile.directory=/etc/lichen/metrics"
    ++ [ "--web.listen-address=${cfg.listenAddress}:${toString cfg.port}" ] ++ cfg.extraFlags;
  names = description: example: mkOption { type = types.listOf types.str; default = [ ]; inherit description example; };
in
{
  options.services.prometheus.exporters.node = exporter.options { name = "node"; what = "node exporter"; port = 9100; } // {
    enabledCollectors = names "Collectors to use besides those that it uses by itself." [ "systemd" ];
    disabledCollectors = names "Collectors not to use." [ "timex" ];
  };

  config = mkIf cfg.enable {
    users.users = mkIf (cfg.user == "node-exporter") { node-exporter = { isSystemUser = true; inherit (cfg) group; }; };
    users.groups = mkIf (cfg.group == "node-exporter") { node-exporter = { }; };
    # It reads files of this ending only.
    environment.etc = lib.mkIf device ({
      "lichen/metrics/recovery.prom".source = "/run/lichen/metrics";
      "lichen/metrics/vitals.prom".source = "/run/lichen/vitals.metrics";
    } // lib.optionalAttrs config.lichen.network.heal.enable { "lichen/metrics/link.prom".source = "/run/lichen/link.metrics"; });
    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.port ];
    lichen.healthChecks.node-exporter.http = exporter.address cfg;

    systemd.services.prometheus-node-exporter = {
      overrideStrategy = "asDropin";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      startLimitIntervalSec = 0; # nobody is there to start it again
      serviceConfig = import ../services/common/sandbox.nix // {
        # Debian's own unit reads its arguments from a file that is not in an image.
        EnvironmentFile = "";
        ExecStart = [ "" "${pkgs.prometheus-node-exporter}/bin/prometheus-node-exporter ${lib.escapeShellArgs flags}" ];
        User = cfg.user;
        Group = cfg.group;
        Restart = "always";
        RestartSec = "1s";
        RestartSteps = 6;
        RestartMaxDelaySec = "60s";
        # It tells of the whole device, so it reads more of /proc than processes.
        ProcSubset = "all";
        RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_NETLINK" "AF_UNIX" ];
        UMask = "0077";
        TasksMax = 64;
        MemoryMax = "96M";
      };
    };
  };
}
