# A rack planner behind nginx, with PostgreSQL for what it knows and Valkey for what it has worked out, watched by the device's own
# Prometheus. Each of these servers may also be elsewhere: then several devices are one planner.
{ config, options, lib, pkgs, ... }@module:
let
  inherit (lib) mkIf mkMerge mkOption types;
  cfg = config.services.rack;
  kit = import ./common/kit.nix module { name = "rack"; };
  inherit (kit) option setting;
  # The version of SCHEMA in crates/rack, whose tests compare the two.
  schema = "1";

  socket = "/run/postgresql";
  local = {
    database = cfg.database.createLocally;
    cache = cfg.cache.enable && cfg.cache.createLocally;
  };
  cache = config.services.redis.servers.rack or { unixSocket = "/run/redis-rack/redis.sock"; group = "redis"; };
  host = config.services.nginx.virtualHosts.${cfg.hostName};
  trusted = host.enableACME || host.useACMEHost != null || host.sslCertificate != null;
  isSocket = lib.hasPrefix "/" cfg.database.host;
  authority = what: option (types.nullOr types.str) null "The file on the device with the certificates of the authorities that ${what}'s certificate is checked with; the public ones if null.";

  # NixOS, which this module can be imported into as well, has none of these.
  lichens = options ? lichen;
in
{
  imports = [ ./rack/monitoring.nix ];

  options.services.rack = kit.options {
    what = "the rack planner";
    port = 8084;
    serves = "the planner, for the device itself: nginx is before it";
  } // {
    openFirewall = option types.bool false "Whether to open nginx's ports in the firewall.";
    hostName = mkOption {
      type = types.str;
      default = "${config.networking.hostName}.local";
      defaultText = lib.literalMD "`.local` after the name of the device";
      example = "rack.example.org";
      description = "The name of nginx's virtual host, which answers to any other name as well. More is said of it in {option}`services.nginx.virtualHosts`: with `enableACME`, for example, its certificate is from an authority.";
    };
    https = option types.bool true "Whether there is TLS, by a certificate that the device signs itself unless the virtual host has another one. Who is not in the local network is sent to it.";
    publicView = setting "access.public_view" types.bool false "Whether everybody may look at the racks without a login.";
    sessionHours = setting "access.session_hours" types.ints.positive 24 "After how many hours one has to log in again.";
    database = {
      createLocally = option types.bool true "Whether PostgreSQL runs on this device, with the planner's database.";
      host = setting "database.host" types.str socket "The PostgreSQL server: the folder of its socket, or its name or address. The password is the secret `rack.database-password`.";
      port = setting "database.port" types.port 5432 "Its port.";
      name = setting "database.name" types.str "rack" "The database.";
      user = setting "database.user" types.str "rack" "The role to log in as.";
      tls = option types.bool (!isSocket) "Whether the connection is encrypted, and the server's certificate checked." // { defaultText = lib.literalMD "whether the server is reached over the network"; };
      authority = authority "the server" // { path = "database.authority"; };
    };
    cache = {
      enable = setting "cache.enabled" types.bool true "Whether there is a cache. Without it everything is read from the database, and each device counts requests for itself.";
      createLocally = option types.bool true "Whether the cache runs on this device.";
      address = option types.str cache.unixSocket "The server that speaks Redis's protocol: the path of its socket, or `redis://HOST:PORT`, or `rediss://HOST:PORT` with TLS. The password is the secret `rack.cache-password`."
        // { path = "cache.address"; defaultText = lib.literalMD "the socket of the device's own"; };
      authority = authority "the cache" // { path = "cache.authority"; };
    };
  };

  config = mkIf cfg.enable (mkMerge [
    # The port is for nginx alone, so that nothing is opened for it.
    (removeAttrs (kit.service "rack" {
      settings = {
        http.address = "127.0.0.1";
        database.tls = if cfg.database.tls then "require" else "off";
      };
      definition = {
        description = "The rack planner";
        after = [ "network.target" ]
          ++ lib.optional local.database "postgresql.target"
          ++ lib.optional local.cache "redis-rack.service";
        # It answers without them, if only that they are missing; and it goes on when they come back.
        wants = lib.optional local.database "postgresql.target"
          ++ lib.optional local.cache "redis-rack.service";
        serviceConfig = {
          # It tells how much memory the device has left.
          ProcSubset = "all";
          LimitNOFILE = 16384;
          # Requests have 30 s to be answered.
          TimeoutStopSec = "40s";
          TasksMax = 128;
          # Pictures that people upload are decoded in it, up to 64 MB each.
          MemoryHigh = "256M";
          MemoryMax = "384M";
        };
      };
    }) [ "networking" ])
    {
      services.nginx = import ./rack/nginx.nix { inherit lib; } {
        inherit (cfg) hostName https;
        application = "127.0.0.1:${toString cfg.port}";
        inherit trusted;
      };
      networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall
        ([ config.services.nginx.defaultHTTPListenPort ] ++ lib.optional cfg.https config.services.nginx.defaultSSLListenPort);
      # The cache's socket, for the program's commands as well.
      users.users.rack.extraGroups = lib.optional local.cache cache.group;
      # What pictures of racks are written with.
      environment.systemPackages = [ pkgs.fonts-dejavu-core ];

      services.postgresql = mkIf local.database {
        enable = true;
        ensureDatabases = [ cfg.database.name ];
        ensureUsers = [ { name = cfg.database.user; ensureDBOwnership = true; } ];
        # 30 of the planner, and a few of the exporter, of a backup and of whoever looks.
        settings.max_connections = lib.mkDefault 50;
      };
      services.redis.servers = mkIf local.cache {
        rack = {
          enable = true;
          # What is cached outlives a restart; but it is a cache, and forgets what was used least when it is full.
          appendOnly = true;
          settings = {
            maxmemory = lib.mkOverride 900 "256mb";
            maxmemory-policy = lib.mkOverride 900 "allkeys-lru";
            stop-writes-on-bgsave-error = lib.mkOverride 900 false;
          };
        };
      };
      systemd.services = mkMerge [
        (mkIf local.database { postgresql.serviceConfig.MemoryMax = lib.mkOverride 900 "512M"; })
        # While its log is written anew, what changes meanwhile is in memory twice.
        (mkIf local.cache { redis-rack.serviceConfig.MemoryMax = lib.mkOverride 900 "448M"; })
      ];

      assertions = [
        {
          assertion = !local.database || cfg.database.host == socket && cfg.database.user == "rack" && cfg.database.name == cfg.database.user;
          message = "services.rack.database: PostgreSQL on this device is reached on its socket, as the role rack, which owns the database rack. For another server, set services.rack.database.createLocally = false.";
        }
        {
          assertion = cfg.database.host != socket || config.services.postgresql.enable;
          message = "services.rack.database.createLocally is false: services.rack.database.host has to say where the server is.";
        }
        {
          assertion = !(isSocket && cfg.database.tls);
          message = "services.rack.database.tls: there is no TLS on a socket.";
        }
        {
          assertion = local.cache || !cfg.cache.enable || cfg.cache.address != cache.unixSocket;
          message = "services.rack.cache.createLocally is false: services.rack.cache.address has to say where the server is.";
        }
      ];
    }
    (lib.optionalAttrs lichens {
      # The first user, admin, has this password, as long as nobody gives the device another one.
      lichen.secrets."rack.admin-password".generate = { bytes = 18; encoding = "base64url"; };
      # An earlier planner does not read the tables of a later one: their server's data are copied before it runs.
      services.postgresql.schemas = mkIf local.database { ${cfg.database.name} = schema; };
    })
  ]);
}
