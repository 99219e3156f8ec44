# What the options of the exporters become, and which are refused.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "nginx" "openssl" "postgresql-17" "postgresql-client-17" "prometheus-nginx-exporter" "prometheus-postgres-exporter" "prometheus-redis-exporter" "valkey-server" "valkey-tools" ]
    (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  evalWith = services: exporters: modules.evalAppliance { inherit pkgs; modules = [ { services = services // { prometheus = { inherit exporters; }; }; } ]; };
  eval = evalWith { };
  on = exporter: { enable = true; } // exporter;
  unit = name: exporter: lib.splitString "\n" (eval { ${name} = on exporter; }).config.environment.etc."systemd/system/prometheus-${name}-exporter.service".text;
  lines = name: prefix: exporter: lib.filter (lib.hasPrefix prefix) (unit name exporter);
  all = [ "nginx" "postgres" "redis" ];
in
{
  "an appliance that does not ask for them has nothing of them" = {
    expr = lib.filter (lib.hasInfix "exporter") (lib.attrNames (eval { }).config.environment.etc);
    expected = [ ];
  };
  "each runs as its own user, and listens where it is told to" = {
    expr = map (name: lines name "User=" { } ++ map (l: lib.hasInfix "10.0.0.1:99" l && lib.hasSuffix " -x" l) (lines name "ExecStart=" { listenAddress = "10.0.0.1"; port = 99; extraFlags = [ "-x" ]; })) all;
    expected = map (name: [ "User=${name}-exporter" true ]) all;
  };
  "the firewall is opened only if asked" = {
    expr = map (name: map (exporter: (eval { ${name} = on exporter; }).config.networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; } ]) all;
    expected = map (port: [ [ 22 ] [ 22 port ] ]) [ 9113 9187 9121 ];
  };
  "its health is asked for where it listens" = {
    expr = (eval { redis = on { port = 99; }; }).config.lichen.healthChecks.prometheus-redis-exporter.http;
    expected = "http://127.0.0.1:99/";
  };
  "that of PostgreSQL sees the activity of others, and is no superuser" = {
    expr = let it = evalWith { postgresql.enable = true; } { postgres = on { }; }; in
      lib.filter (lib.hasInfix "GRANT") (lib.splitString "\n" it.config.environment.etc."postgresql/setup.sql".text);
    expected = [ "GRANT pg_monitor TO \"postgres-exporter\";" ];
  };
  "unless it is told to be" = {
    expr = lines "postgres" "User=" { runAsLocalSuperUser = true; } ++ lines "postgres" "Environment=" { runAsLocalSuperUser = true; };
    expected = [ "User=postgres" "Environment=\"DATA_SOURCE_NAME=user=postgres database=postgres host=/run/postgresql sslmode=disable\"" ];
  };
  "that of Redis asks the only server of the page, wherever it listens" = {
    expr = map
      (servers: map (lib.removePrefix "ExecStart=/usr/bin/prometheus-redis-exporter -web.listen-address 0.0.0.0:9121") (
        lib.filter (l: lib.hasPrefix "ExecStart=" l || lib.hasPrefix "Supp" l)
          (lib.splitString "\n" (evalWith { redis = { inherit servers; }; } { redis = on { }; }).config.environment.etc."systemd/system/prometheus-redis-exporter.service".text)))
      [
        { }
        { "".enable = true; rack.enable = true; }
        { rack = { enable = true; group = "web"; }; off.enable = false; }
        { rack = { enable = true; port = 99; bind = "10.0.0.1"; }; }
      ];
    expected = [
      [ "" ]
      [ " -redis.addr redis://127.0.0.1:6379" ]
      [ " -redis.addr unix:///run/redis-rack/redis.sock" "SupplementaryGroups=web" ]
      [ " -redis.addr redis://10.0.0.1:99" ]
    ];
  };
  "where there are several, the page has to name one" = {
    expr = map (exporter: map (a: a.message) (evalWith { redis.servers = { a.enable = true; b.enable = true; }; } { redis = on exporter; }).failedAssertions) [ { } { extraFlags = [ "-redis.addr=unix:///run/redis-a/redis.sock" ]; } ];
    expected = [ [ "services.prometheus.exporters.redis asks one server, and there are several: name one, as in services.prometheus.exporters.redis.extraFlags = [ \"-redis.addr=unix:///run/redis-NAME/redis.sock\" ]." ] [ ] ];
  };
  "that of nginx has nginx tell its figures" = {
    expr = (evalWith { nginx.enable = true; } { nginx = on { }; }).config.services.nginx.statusPage;
    expected = true;
  };
  "and is refused where nginx is not to" = {
    expr = map (a: a.message) (evalWith { nginx = { enable = true; statusPage = false; }; } { nginx = on { }; }).failedAssertions;
    expected = [ "services.prometheus.exporters.nginx reads nginx's status page: services.nginx.statusPage has to be set." ];
  };
}
