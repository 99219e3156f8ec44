# Debian's Alertmanager with NixOS's options: who is told of the alerts of a Prometheus. amtool judges what it is to do.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault mkEnableOption mkIf mkOption types;
  daemon = import ./common/daemon.nix { inherit lib; };
  exporter = import ./common/exporter.nix { inherit lib; };
  cfg = config.services.prometheus.alertmanager;
  option = type: default: description: mkOption { inherit type default description; };
  file = if cfg.configText != null then cfg.configText else builtins.toJSON cfg.configuration;
  flags = [
    "--config.file=/etc/alertmanager/alertmanager.yml"
    "--storage.path=/var/lib/alertmanager"
    "--web.listen-address=${cfg.listenAddress}:${toString cfg.port}"
    "--log.level=${cfg.logLevel}"
    # It is alone.
    "--cluster.listen-address="
  ] ++ lib.optional (cfg.webExternalUrl != null) "--web.external-url=${cfg.webExternalUrl}" ++ cfg.extraFlags;
in
{
  imports = [
    (import ./common/not-offered.nix [ "services" "prometheus" "alertmanager" ] {
      clusterPeers = "a device has one Alertmanager.";
      environmentFile = "name secrets by files on the device, as in `api_url_file`.";
      package = "Debian 13 has one Alertmanager, 0.28.";
    })
  ];

  options.services.prometheus.alertmanager = {
    enable = mkEnableOption "the Prometheus Alertmanager";
    configuration = mkOption {
      type = types.nullOr (types.attrsOf types.anything);
      default = null;
      example = { route.receiver = "me"; receivers = [{ name = "me"; webhook_configs = [{ url = "http://localhost:8080/alerts"; }]; }]; };
      description = "Who is told of what. All of it is in the image: secrets are named by files on the device.";
    };
    configText = option (types.nullOr types.lines) null "The same as text, in place of {option}`services.prometheus.alertmanager.configuration`.";
    checkConfig = option types.bool true "Whether the build lets amtool judge the configuration.";
    logLevel = option (types.enum [ "debug" "info" "warn" "error" ]) "warn" "How much it tells the journal.";
    listenAddress = option types.str "" "Address to listen on; empty for all.";
    port = option types.port 9093 "Port of the page and the API.";
    openFirewall = option types.bool false "Whether to open the port in the firewall.";
    webExternalUrl = mkOption { type = types.nullOr types.str; default = null; example = "https://rack.example.org:9093"; description = "Where others find the page."; };
    extraFlags = option (types.listOf types.str) [ ] "Further arguments.";
  };

  config = mkIf cfg.enable (lib.mkMerge [
    {
      assertions = [
        {
          assertion = (cfg.configuration == null) != (cfg.configText == null);
          message = "services.prometheus.alertmanager: exactly one of `configuration' and `configText' has to be set.";
        }
      ];
      networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.port ];
      environment.etc."alertmanager/alertmanager.yml".text = file;
      lichen.configurationChecks.alertmanager = mkIf cfg.checkConfig {
        packages = [ pkgs.prometheus-alertmanager ];
        etc = [ "alertmanager/alertmanager.yml" ];
        script = ''
          device /usr/bin/amtool check-config /etc/alertmanager/alertmanager.yml > log 2>&1 \
            || { cat log; echo "error: services.prometheus.alertmanager: amtool refuses the configuration (above)"; exit 1; }
        '';
      };
      # Silences and who was told of what, as of when it last wrote them: every quarter of an hour, and at its end.
      lichen.state.alertmanager = {
        version = "0.28";
        # Its files are replaced by whole ones: tar's 1 says that this was just now.
        backup = "tar -c -C /var/lib/alertmanager . || [ $? -eq 1 ]";
        restore = "tar -x -C \"$DIRECTORY\"";
      };
    }
    (daemon "alertmanager" {
      user = "alertmanager";
      # What follows the port in webExternalUrl precedes every path.
      health = if cfg.webExternalUrl == null then { http = "${exporter.address cfg}-/healthy"; } else { unit = "alertmanager.service"; };
      definition = {
        description = "Prometheus Alertmanager";
        reloadTriggers = [ file ];
        environment.GOMEMLIMIT = mkDefault "48MiB";
        serviceConfig = {
          ExecStart = "${pkgs.prometheus-alertmanager}/bin/prometheus-alertmanager ${lib.escapeShellArgs flags}";
          ExecReload = "/bin/kill -HUP $MAINPID";
          StateDirectory = "alertmanager";
          StateDirectoryMode = "0700";
          MemoryMax = mkDefault "96M";
          TasksMax = 64;
        };
      };
    })
  ]);
}
