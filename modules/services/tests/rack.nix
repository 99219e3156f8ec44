# What the rack planner's options become.
{ lib, modules }:
let
  names = [
    "lichenctl" "rack" "fonts-dejavu-core" "lego" "nginx" "openssl" "postgresql-17" "postgresql-client-17" "valkey-server" "valkey-tools"
    "prometheus" "promtool" "prometheus-alertmanager" "prometheus-node-exporter" "prometheus-nginx-exporter" "prometheus-postgres-exporter"
    "prometheus-redis-exporter"
  ];
  pkgs = lib.genAttrs names (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  evalAll = page: modules.evalAppliance { inherit pkgs; modules = [ ({ _file = "appliances/x.nix"; } // page) ]; };
  eval = rack: evalAll { services.rack = { enable = true; } // rack; };
  etc = rack: (eval rack).config.environment.etc;
  json = rack: builtins.fromJSON (etc rack)."rack/config.json".text;
  failed = rack: map (a: a.message) (eval rack).failedAssertions;
  linesOf = text: map lib.trim (lib.splitString "\n" text);
  nginx = rack: linesOf (etc rack)."nginx/nginx.conf".text;
  unit = rack: linesOf (etc rack)."systemd/system/rack.service".text;
  beginning = prefixes: lib.filter (line: lib.any (prefix: lib.hasPrefix prefix line) prefixes);
  # On servers that are elsewhere.
  elsewhere = {
    database = { createLocally = false; host = "db.example.org"; authority = "/var/lib/ca.pem"; };
    cache = { createLocally = false; address = "rediss://cache.example.org:6380"; };
  };
  alertmanager = rack: builtins.fromJSON (etc rack)."alertmanager/alertmanager.yml".text;
  prometheus = rack: builtins.fromJSON (etc rack)."prometheus/prometheus.yml".text;
in
{
  "an appliance that does not ask for it has nothing of it" = {
    expr = let it = (evalAll { }).config; in [ (it.systemd.services ? rack) it.services.nginx.enable it.services.postgresql.enable it.lichen.secrets ];
    expected = [ false false false { } ];
  };
  "its page is sound, and so is one with nothing but it" = {
    expr = map (it: [ it.problems (map (a: a.message) it.failedAssertions) ]) [ (modules.evalAppliance { inherit pkgs; modules = [ ../../../appliances/rack.nix ]; }) (eval { }) (eval elsewhere) ];
    expected = [ [ [ ] [ ] ] [ [ ] [ ] ] [ [ ] [ ] ] ];
  };
  "by default its servers are on the device, on sockets" = {
    expr = json { };
    expected = {
      http = { address = "127.0.0.1"; port = 8084; };
      access = { public_view = false; session_hours = 24; };
      database = { host = "/run/postgresql"; port = 5432; name = "rack"; user = "rack"; tls = "off"; authority = null; };
      cache = { enabled = true; address = "/run/redis-rack/redis.sock"; authority = null; };
    };
  };
  "servers elsewhere are reached over TLS, and none runs here" = {
    expr = let it = (eval elsewhere).config; in [
      (json elsewhere).database.tls
      (json elsewhere).cache.address
      it.services.postgresql.enable
      (it.services.redis.servers ? rack)
      (lib.attrNames it.lichen.state)
      (map (job: job.job_name) (prometheus elsewhere).scrape_configs)
      it.users.users.rack.extraGroups
      (beginning [ "Wants" "After" ] (unit elsewhere))
    ];
    expected = [
      "require" "rediss://cache.example.org:6380" false false [ "alertmanager" "prometheus" ]
      [ "alertmanager" "nginx" "node" "prometheus" "rack" ] [ ]
      [ "After=network.target" ]
    ];
  };
  "it starts after its servers, and goes on without them" = {
    expr = beginning [ "Wants" "After" "Requires" "BindsTo" ] (unit { });
    expected = [ "After=network.target postgresql.target redis-rack.service" "Wants=postgresql.target redis-rack.service" ];
  };
  "without a cache there is none" = {
    expr = let it = (eval { cache.enable = false; }).config; in [ (json { cache.enable = false; }).cache.enabled (it.services.redis.servers ? rack) ];
    expected = [ false false ];
  };
  "its unit is confined and bounded, and ends after its requests" = {
    expr = beginning [ "Type" "LimitNOFILE" "Memory" "TimeoutStopSec" "ImportCredential" "PrivateUsers" "ProtectSystem" ] (unit { });
    expected = [
      "ImportCredential=rack.*" "LimitNOFILE=16384" "MemoryDenyWriteExecute=true" "MemoryHigh=256M" "MemoryMax=384M" "PrivateUsers=true" "ProtectSystem=strict"
      "TimeoutStopSec=40s" "Type=notify"
    ];
  };
  "it, and its commands, may use the socket of its cache" = { expr = (eval { }).config.users.users.rack.extraGroups; expected = [ "redis" ]; };
  "its cache forgets what was used least, and keeps the rest through a restart" = {
    expr = beginning [ "maxmemory" "appendonly" "appendfsync" "port" ] (linesOf (etc { })."redis/redis-rack.conf".text);
    expected = [ "appendfsync everysec" "appendonly yes" "maxmemory 256mb" "maxmemory-policy allkeys-lru" "port 0" ];
  };
  "the page may say otherwise of its servers" = {
    expr =
      let
        it = (evalAll {
          services.rack.enable = true;
          services.redis.servers.rack.settings.maxmemory = "64mb";
          services.postgresql.settings.max_connections = 200;
          systemd.services.postgresql.serviceConfig.MemoryMax = "1G";
        }).config; in
      [ it.services.redis.servers.rack.settings.maxmemory it.services.postgresql.settings.max_connections it.systemd.services.postgresql.serviceConfig.MemoryMax ];
    expected = [ "64mb" 200 "1G" ];
  };
  "the schema of its database is a part of the version of PostgreSQL's data" = {
    expr = (builtins.fromJSON (etc { })."lichen/state.json".text).postgresql.version;
    expected = "17.1";
  };
  "the device makes the first password" = {
    expr = builtins.fromJSON (etc { })."lichen/secrets.json".text;
    expected."rack.admin-password" = { bytes = 18; encoding = "base64url"; };
  };
  "its health is asked for without nginx" = {
    expr = (builtins.fromJSON (etc { port = 99; })."lichen/health.json".text).checks.rack.http;
    expected = "http://127.0.0.1:99/health";
  };
  "the firewall is opened for nginx, and only if asked" = {
    expr = map (rack: (eval rack).config.networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; } { openFirewall = true; https = false; } { monitoring.openFirewall = true; } ];
    expected = [ [ 22 ] [ 22 80 443 ] [ 22 80 ] [ 22 9090 ] ];
  };
  "TLS is spoken with the device's own certificate, or not at all" = {
    expr = map (rack: [ (lib.attrNames (eval rack).config.lichen.selfSignedCertificates) (lib.any (lib.hasInfix " ssl;") (nginx rack)) (lib.any (lib.hasInfix "return 301 https") (nginx rack)) ])
      [ { } { https = false; } ];
    expected = [ [ [ "nginx-lichen.local" ] true true ] [ [ ] false false ] ];
  };
  "browsers are told to come over TLS for good only if others vouch for the certificate" = {
    expr =
      let
        told = host: lib.filter (lib.hasInfix "https \"") (linesOf (evalAll {
          services.rack = { enable = true; hostName = "rack.example.org"; };
          services.nginx.virtualHosts."rack.example.org" = host;
          security.acme = { acceptTerms = true; defaults.email = "me@example.org"; };
        }).config.environment.etc."nginx/nginx.conf".text);
      in map told [ { } { enableACME = true; } { sslCertificate = "/var/a.crt"; sslCertificateKey = "/var/a.key"; } ];
    expected = [ [ "https \"\";" ] [ "https \"max-age=31536000\";" ] [ "https \"max-age=31536000\";" ] ];
  };
  "nginx has the limits that were promised" = {
    expr = lib.unique (beginning [ "limit_" "client_" "keepalive_timeout 15" "send_timeout" "server_tokens" "ssl_protocols" ] (nginx { }));
    expected = [
      "server_tokens off;" "client_max_body_size 10m;" "ssl_protocols TLSv1.2 TLSv1.3;" "client_body_temp_path /var/cache/nginx/client_body;"
      "limit_req_zone $binary_remote_addr zone=rack_api:1m rate=10r/s;" "limit_req_zone $binary_remote_addr zone=rack_general:1m rate=30r/s;"
      "limit_conn_zone $binary_remote_addr zone=rack_address:1m;"
      "limit_conn rack_address 10;" "limit_req zone=rack_general burst=20 nodelay;" "limit_req zone=rack_api burst=10 nodelay;"
      "client_header_timeout 12s;" "client_body_timeout 12s;" "send_timeout 15s;" "keepalive_timeout 15s;" "limit_req_status 429;" "limit_conn_status 429;"
      "limit_req_log_level info;" "limit_conn_log_level info;"
    ];
  };
  "recommended headers of the page do not let a client choose who it is" = {
    expr = lib.filter (lib.hasInfix "X-Forwarded-For") (linesOf (evalAll { services.rack.enable = true; services.nginx.recommendedProxySettings = true; }).config.environment.etc."nginx/nginx.conf".text);
    expected = [ "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;" "proxy_set_header X-Forwarded-For $remote_addr;" ];
  };
  "everything on the device is watched, by the name that its users know" = {
    expr = map (job: [ job.job_name (lib.head job.static_configs).targets (lib.head job.static_configs).labels.instance ]) (prometheus { hostName = "r.example.org"; }).scrape_configs;
    expected = map (it: [ (lib.head it) [ "127.0.0.1:${toString (lib.last it)}" ] "r.example.org" ])
      [ [ "alertmanager" 9093 ] [ "nginx" 9113 ] [ "node" 9100 ] [ "postgres" 9187 ] [ "prometheus" 9090 ] [ "rack" 8084 ] [ "redis" 9121 ] ];
  };
  "figures are kept for a month, and in a gigabyte" = {
    expr = let text = (etc { })."systemd/system/prometheus.service".text; in map (part: lib.hasInfix part text) [ "--storage.tsdb.retention.time=30d" "--storage.tsdb.retention.size=1GB" "--web.listen-address=127.0.0.1:9090" ];
    expected = [ true true true ];
  };
  "without monitoring there is none" = {
    expr = let it = (eval { monitoring.enable = false; }).config; in [ it.services.prometheus.enable it.services.prometheus.alertmanager.enable it.services.nginx.statusPage (it.environment.etc ? "rack/dashboards/dashboard.json") ];
    expected = [ false false false false ];
  };
  "alerts go to nobody, or by webhook and e-mail, with secrets that are on the device" = {
    expr = map (alerts: (alertmanager { monitoring.alerts = alerts; }).receivers) [
      { }
      { webhook = true; email = { to = "me@example.org"; from = "rack@example.org"; smarthost = "mail.example.org:587"; user = "rack"; }; }
    ];
    expected = [
      [ { name = "owner"; } ]
      [
        {
          name = "owner";
          webhook_configs = [ { url_file = "/run/credentials/alertmanager.service/alertmanager.webhook-url"; send_resolved = true; } ];
          email_configs = [
            {
              to = "me@example.org"; from = "rack@example.org"; smarthost = "mail.example.org:587"; send_resolved = true;
              auth_username = "rack"; auth_password_file = "/run/credentials/alertmanager.service/alertmanager.smtp-password";
            }
          ];
        }
      ]
    ];
  };
  "the Alertmanager gets those secrets" = {
    expr = beginning [ "ImportCredential" ] (linesOf (etc { })."systemd/system/alertmanager.service".text);
    expected = [ "ImportCredential=alertmanager.*" ];
  };
  "dashboards are for whoever has a Grafana" = {
    expr = map (name: (builtins.fromJSON (etc { })."rack/dashboards/${name}.json".text).title) [ "dashboard" "infrastructure" ];
    expected = [ "Rack planner" "Rack planner: device and servers" ];
  };
  "a database that is neither here nor named is refused, and so is what cannot be" = {
    expr = map failed [
      { database.createLocally = false; }
      { database.host = "db.example.org"; }
      { database.user = "other"; }
      { database.tls = true; }
      { cache.createLocally = false; }
    ];
    expected =
      let
        here = "services.rack.database: PostgreSQL on this device is reached on its socket, as the role rack, which owns the database rack. For another server, set services.rack.database.createLocally = false.";
      in
      [
        [ "services.rack.database.createLocally is false: services.rack.database.host has to say where the server is." ]
        [ here ]
        [ here "services.postgresql.ensureUsers: other is to own the database other, which services.postgresql.ensureDatabases does not name." ]
        [ "services.rack.database.tls: there is no TLS on a socket." ]
        [ "services.rack.cache.createLocally is false: services.rack.cache.address has to say where the server is." ]
      ];
  };
}
