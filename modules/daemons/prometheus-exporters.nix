# Figures of PostgreSQL, of a server for Redis's clients and of nginx, for a Prometheus: Debian's exporters, with NixOS's options.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkIf mkOption types;
  exporter = import ./common/exporter.nix { inherit lib; };
  inherit (config.services) postgresql;
  cfg = config.services.prometheus.exporters;
  option = type: default: description: mkOption { inherit type default description; };
  listen = one: "${one.listenAddress}:${toString one.port}";
  # Whom the exporter of Redis's figures asks: the server without a name, or else the only one. Others are named by the page.
  servers = lib.filterAttrs (_: server: server.enable) config.services.redis.servers;
  named = lib.any (lib.hasInfix "redis.addr") cfg.redis.extraFlags;
  server = if named then null else servers."" or (if lib.length (lib.attrNames servers) == 1 then lib.head (lib.attrValues servers) else null);
  overPort = server != null && server.port != 0;
  metrics = option types.str "/metrics" "The path of the metrics.";
in
{
  options.services.prometheus.exporters = {
    postgres = exporter.options { name = "postgres"; what = "exporter of PostgreSQL's figures"; port = 9187; } // {
      telemetryPath = metrics;
      dataSourceName = option types.str "user=${cfg.postgres.user} database=postgres host=/run/postgresql sslmode=disable" "How to reach the server. It is in the image: a password belongs into a file (`passfile=`)."
        // { defaultText = lib.literalMD "the server of this device, as the exporter's own user"; };
      runAsLocalSuperUser = option types.bool false "Whether to run as `postgres`, and see everything.";
    };
    redis = exporter.options { name = "redis"; what = "exporter of the figures of a server for Redis's clients"; port = 9121; };
    nginx = exporter.options { name = "nginx"; what = "exporter of nginx's figures"; port = 9113; } // {
      telemetryPath = metrics;
      scrapeUri = option types.str "http://localhost/nginx_status" "Where nginx tells them.";
      sslVerify = option types.bool true "Whether its certificate has to be one that others vouch for.";
      constLabels = mkOption { type = types.listOf types.str; default = [ ]; example = [ "site=home" ]; description = "Labels of every figure."; };
    };
  };

  config = lib.mkMerge [
    (mkIf cfg.postgres.enable {
      services.prometheus.exporters.postgres = mkIf cfg.postgres.runAsLocalSuperUser { user = lib.mkForce "postgres"; group = lib.mkForce "postgres"; };
      # It is to see the activity of others, and nothing of their data.
      services.postgresql = mkIf (postgresql.enable && !cfg.postgres.runAsLocalSuperUser) {
        ensureUsers = [{ name = cfg.postgres.user; }];
        setup = "GRANT pg_monitor TO \"${cfg.postgres.user}\";";
      };
    })
    (mkIf cfg.postgres.enable (exporter.config "postgres" cfg.postgres {
      command = "${pkgs.prometheus-postgres-exporter}/bin/prometheus-postgres-exporter --web.listen-address ${listen cfg.postgres} --web.telemetry-path ${cfg.postgres.telemetryPath}";
      definition = {
        after = [ "network.target" ] ++ lib.optional postgresql.enable "postgresql.target";
        environment.DATA_SOURCE_NAME = cfg.postgres.dataSourceName;
        # Who it is counts on the server's socket.
        serviceConfig.PrivateUsers = false;
      };
    }))
    (mkIf cfg.redis.enable (exporter.config "redis" cfg.redis {
      command = "${pkgs.prometheus-redis-exporter}/bin/prometheus-redis-exporter -web.listen-address ${listen cfg.redis}"
        + lib.optionalString (server != null)
        " -redis.addr ${if overPort then "redis://${if server.bind == null then "127.0.0.1" else server.bind}:${toString server.port}" else "unix://${server.unixSocket}"}";
      # Members of the group may use the socket.
      definition.serviceConfig = lib.optionalAttrs (server != null && !overPort) { SupplementaryGroups = [ server.group ]; };
    }))
    (mkIf cfg.redis.enable {
      assertions = [
        {
          assertion = named || server != null || servers == { };
          message = "services.prometheus.exporters.redis asks one server, and there are several: name one, as in services.prometheus.exporters.redis.extraFlags = [ \"-redis.addr=unix:///run/redis-NAME/redis.sock\" ].";
        }
      ];
    })
    (mkIf cfg.nginx.enable (exporter.config "nginx" cfg.nginx {
      command = lib.concatStringsSep " " ([
        "${pkgs.prometheus-nginx-exporter}/bin/prometheus-nginx-exporter --nginx.scrape-uri=${cfg.nginx.scrapeUri}"
        "--${lib.optionalString (!cfg.nginx.sslVerify) "no-"}nginx.ssl-verify --web.listen-address=${listen cfg.nginx} --web.telemetry-path=${cfg.nginx.telemetryPath}"
      ] ++ map (label: "--prometheus.const-label=${lib.escapeShellArg label}") cfg.nginx.constLabels);
    }))
    (mkIf cfg.nginx.enable {
      services.nginx.statusPage = lib.mkDefault true;
      assertions = [
        {
          assertion = !(config.services.nginx.enable && lib.hasSuffix "/nginx_status" cfg.nginx.scrapeUri) || config.services.nginx.statusPage;
          message = "services.prometheus.exporters.nginx reads nginx's status page: services.nginx.statusPage has to be set.";
        }
      ];
    })
  ];
}
