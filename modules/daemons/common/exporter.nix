# What all exporters for a Prometheus have in common: a value, not a module.
{ lib }:
let
  inherit (lib) mkEnableOption mkOption types;
  daemon = import ./daemon.nix { inherit lib; };
  everywhere = [ "" "0.0.0.0" "[::]" ];
in
rec {
  # name: of the exporter, in services.prometheus.exporters. what: it exports the figures of.
  options = { name, what, port }: {
    enable = mkEnableOption "the Prometheus ${what}";
    port = mkOption { type = types.port; default = port; description = "Port of the metrics."; };
    listenAddress = mkOption { type = types.str; default = "0.0.0.0"; description = "Address to listen on."; };
    openFirewall = mkOption { type = types.bool; default = false; description = "Whether to open the port in the firewall."; };
    user = mkOption { type = types.str; default = "${name}-exporter"; description = "The user that it runs as."; };
    group = mkOption { type = types.str; default = "${name}-exporter"; description = "The group that it runs as."; };
    extraFlags = mkOption { type = types.listOf types.str; default = [ ]; description = "Further arguments."; };
  };

  # Where the device itself finds what listens there.
  address = cfg: "http://${if builtins.elem cfg.listenAddress everywhere then "127.0.0.1" else cfg.listenAddress}:${toString cfg.port}/";

  # cfg: the values of those options. command: the program with its arguments, but for extraFlags. definition: what else the unit has.
  config = name: cfg: { command, definition ? { } }: lib.recursiveUpdate
    {
      networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [ cfg.port ];
    }
    (daemon "prometheus-${name}-exporter" {
      inherit (cfg) user group;
      health.http = address cfg;
      definition = lib.recursiveUpdate
        {
          description = "Figures of ${name} for a Prometheus";
          serviceConfig = {
            ExecStart = "${command}${lib.optionalString (cfg.extraFlags != [ ]) " ${lib.escapeShellArgs cfg.extraFlags}"}";
            TasksMax = 64;
            MemoryMax = lib.mkDefault "64M";
          };
        }
        definition;
    });
}
