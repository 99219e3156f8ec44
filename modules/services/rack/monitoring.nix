# The rack planner's own Prometheus, on the same device: what it asks, what it warns of, and who is told.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkIf mkOption types;
  cfg = config.services.rack;
  inherit (cfg) monitoring;
  inherit (config.services) prometheus;
  option = type: default: description: mkOption { inherit type default description; };

  files = ../../../crates;
  text = path: builtins.readFile (files + "/${path}");
  # Only the text counts: with the paths, the whole checkout would be a part of the image.
  rules = map text [ "kit/monitoring/alerts.yml" "rack/monitoring/alerts.yml" ];
  dashboards = lib.genAttrs [ "dashboard.json" "infrastructure.json" ] (name: text "rack/monitoring/${name}");

  # Who listens on the device itself, by the name that becomes the label `job`.
  exporters = [ "node" "nginx" ]
    ++ lib.optional cfg.database.createLocally "postgres"
    ++ lib.optional (cfg.cache.enable && cfg.cache.createLocally) "redis";
  asked = { rack = cfg.port; prometheus = prometheus.port; alertmanager = prometheus.alertmanager.port; }
    // lib.genAttrs exporters (name: prometheus.exporters.${name}.port);
  # The device is called what its users call it, so that addresses in what alerts say lead to it.
  job = name: port: {
    job_name = name;
    static_configs = [ { targets = [ "127.0.0.1:${toString port}" ]; labels.instance = cfg.hostName; } ];
  };

  credential = name: "/run/credentials/alertmanager.service/alertmanager.${name}";
  inherit (monitoring.alerts) email webhook;
  receiver = { name = "owner"; }
    // lib.optionalAttrs webhook { webhook_configs = [ { url_file = credential "webhook-url"; send_resolved = true; } ]; }
    // lib.optionalAttrs (email != null) {
    email_configs = [
      ({ inherit (email) to from smarthost; send_resolved = true; }
        // lib.optionalAttrs (email.user != null) { auth_username = email.user; auth_password_file = credential "smtp-password"; })
    ];
  };
in
{
  options.services.rack.monitoring = {
    enable = option types.bool true "Whether a Prometheus on the device watches the planner, its servers and the device.";
    openFirewall = option types.bool false "Whether others, such as a Grafana, may ask that Prometheus, which knows no passwords.";
    retentionTime = option types.str "30d" "How long figures are kept.";
    retentionSize = option types.str "1GB" "How much room they may take on DATA; the oldest give way.";
    alerts = {
      webhook = option types.bool false "Whether alerts are posted, as the Alertmanager's JSON, to the address in the secret `alertmanager.webhook-url`.";
      email = mkOption {
        default = null;
        example = { to = "me@example.org"; from = "rack@example.org"; smarthost = "mail.example.org:587"; user = "rack"; };
        description = "Who gets alerts by e-mail; nobody if null.";
        type = types.nullOr (types.submodule {
          options = {
            to = mkOption { type = types.str; description = "The address of who gets them."; };
            from = mkOption { type = types.str; description = "The address of who sends them."; };
            smarthost = mkOption { type = types.str; example = "mail.example.org:587"; description = "The server that takes them, with its port, over TLS."; };
            user = option (types.nullOr types.str) null "Who logs in there, with the password in the secret `alertmanager.smtp-password`; nobody if null.";
          };
        });
      };
    };
  };

  config = mkIf (cfg.enable && monitoring.enable) {
    services.prometheus = {
      enable = true;
      listenAddress = mkDefault (if monitoring.openFirewall then "0.0.0.0" else "127.0.0.1");
      inherit (monitoring) retentionTime;
      extraFlags = [ "--storage.tsdb.retention.size=${monitoring.retentionSize}" ];
      # Twice as often would be twice as much on the card.
      globalConfig = { scrape_interval = mkDefault "30s"; evaluation_interval = mkDefault "30s"; };
      scrapeConfigs = lib.mapAttrsToList job asked;
      inherit rules;
      alertmanagers = [ { static_configs = [ { targets = [ "127.0.0.1:${toString prometheus.alertmanager.port}" ]; } ]; } ];
      alertmanager = {
        enable = true;
        listenAddress = mkDefault "127.0.0.1";
        configuration = mkDefault {
          route = { receiver = "owner"; group_by = [ "alertname" ]; repeat_interval = "12h"; };
          receivers = [ receiver ];
        };
      };
      exporters = lib.mkMerge [
        (lib.genAttrs exporters (_: { enable = true; listenAddress = mkDefault "127.0.0.1"; }))
        # When it started, by which restarts are seen.
        { postgres.extraFlags = [ "--collector.postmaster" ]; }
      ];
    };
    networking.firewall.allowedTCPPorts = mkIf monitoring.openFirewall [ prometheus.port ];
    systemd.services.alertmanager.serviceConfig.ImportCredential = "alertmanager.*";
    # For a Grafana: there is none on the device.
    environment.etc = lib.mapAttrs' (name: text: lib.nameValuePair "rack/dashboards/${name}" { inherit text; }) dashboards;
  };
}
