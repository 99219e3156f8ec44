# What the options of Redis's servers become, and which are refused.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "valkey-server" "valkey-tools" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = servers: modules.evalAppliance { inherit pkgs; modules = [ { _file = "appliances/x.nix"; services.redis = { inherit servers; }; } ]; };
  etc = servers: (eval servers).config.environment.etc;
  on = server: { enable = true; } // server;
  conf = server: lib.splitString "\n" (etc { rack = on server; })."redis/redis-rack.conf".text;
  lines = prefix: server: lib.filter (lib.hasPrefix prefix) (conf server);
  unit = server: lib.splitString "\n" (etc { rack = on server; })."systemd/system/redis-rack.service".text;
  state = server: (builtins.fromJSON (etc { rack = on server; })."lichen/state.json".text).redis-rack;
  script = step: lib.splitString "\n" (etc { rack = on { }; })."lichen/scripts/redis-rack-${step}".text;
  failed = server: map (a: a.message) (eval { rack = on server; }).failedAssertions;
in
{
  "an appliance that does not ask for one has nothing of it" = {
    expr = let it = (eval { off.enable = false; }).config; in [ (lib.filter (lib.hasPrefix "redis") (lib.attrNames it.systemd.services)) (it.users.users ? redis) it.lichen.state ];
    expected = [ [ ] false { } ];
  };
  "it is sound" = { expr = [ (failed { }) (eval { rack.enable = true; "".enable = true; }).problems ]; expected = [ [ ] [ ] ]; };
  "the one without a name listens on its port, others on their sockets" = {
    expr = map (name: map (what: lib.findFirst (lib.hasPrefix "${what} ") null (lib.splitString "\n" (etc { ${name}.enable = true; })."redis/redis${lib.optionalString (name != "") "-${name}"}.conf".text)) [ "port" "unixsocket" "dir" ]) [ "" "rack" ];
    expected = [ [ "port 6379" "unixsocket /run/redis/redis.sock" "dir /var/lib/redis" ] [ "port 0" "unixsocket /run/redis-rack/redis.sock" "dir /var/lib/redis-rack" ] ];
  };
  "it is a cache, which is written to the card once an hour and forgets what is old" = {
    expr = lines "save" { } ++ lines "appendonly" { } ++ lines "maxmemory" { } ++ lines "stop-writes" { };
    expected = [ "save 3600 1" "appendonly no" "maxmemory 128mb" "maxmemory-policy allkeys-lru" "stop-writes-on-bgsave-error no" ];
  };
  "unless it is to keep what it acknowledged" = {
    expr = let it = { appendOnly = true; settings.maxmemory = "64mb"; }; in lines "save" it ++ lines "append" it ++ lines "maxmemory" it ++ lines "stop-writes" it;
    expected = [ "save \"\"" "appendfsync everysec" "appendonly yes" "maxmemory 64mb" "maxmemory-policy noeviction" "stop-writes-on-bgsave-error yes" ];
  };
  "it sorts as C does, unless the page names a locale" = {
    expr = lines "locale" { } ++ lines "locale" { settings.locale-collate = "C.UTF-8"; };
    expected = [ "locale-collate C" "locale-collate C.UTF-8" ];
  };
  "several times to save, and a directive that is repeated, are several lines" = {
    expr = lines "save" { save = [ [ 900 1 ] [ 300 10 ] ]; } ++ lines "rename-command" { settings.rename-command = [ "FLUSHALL \"\"" "CONFIG \"\"" ]; };
    expected = [ "save 900 1" "save 300 10" "rename-command FLUSHALL \"\"" "rename-command CONFIG \"\"" ];
  };
  "a password comes from a file on the device, and is not in the image" = {
    expr = lib.filter (l: lib.hasPrefix "ExecStart" l || lib.hasPrefix "LoadCredential" l) (unit { requirePassFile = "/run/keys/redis"; }) ++ lines "requirepass" { requirePassFile = "/run/keys/redis"; };
    expected = [
      "ExecStart=/usr/bin/valkey-server /etc/redis/redis-rack.conf --include /run/redis-rack/requirepass.conf"
      "ExecStartPre=/etc/lichen/scripts/redis-rack-pre-start"
      "LoadCredential=requirepass:/run/keys/redis"
    ];
  };
  "what it says is protected from another major version, in the form that it is read in" = {
    expr = map (server: let it = state server; in [ it.version it.directory it.user (lib.hasInfix "dump.rdb" it.restore) ]) [ { } { appendOnly = true; } ];
    expected = map (plain: [ "8" "/var/lib/redis-rack" "redis" plain ]) [ true false ];
  };
  "a password may have any characters, and those who may use the socket do not read it" = {
    expr = lib.splitString "\n" (lib.last (lib.splitString "\nfi\n" (etc { rack = on { requirePassFile = "/run/keys/redis"; }; })."lichen/scripts/redis-rack-pre-start".text));
    expected = [
      "umask 077"
      "cd /run/redis-rack"
      "rm -f requirepass requirepass.conf"
      "cat \"$CREDENTIALS_DIRECTORY/requirepass\" > requirepass"
      ''printf 'requirepass "%s"\n' "$(sed 's/[\\"]/\\&/g' requirepass)" > requirepass.conf''
      ""
    ];
  };
  "the user has a group of its name, in which the data are copied, also where the server runs in another one" = {
    expr = map
      (module: let it = modules.evalAppliance { inherit pkgs; modules = [ module ]; }; in
        [ (it.problems ++ map (a: a.message) it.failedAssertions) (map (s: it.config.users.groups.${s.user}.gid or "none") (lib.attrValues it.config.lichen.state)) ])
      [
        { services.redis.servers.rack = { enable = true; group = "web"; }; users.groups.web.gid = 1000; }
        {
          services.redis.servers.rack = { enable = true; user = "app"; group = "web"; };
          users.groups.web.gid = 1000;
          users.users.app = { isSystemUser = true; uid = 1001; };
        }
      ];
    expected = [ [ [ ] [ 971 ] ] [ [ ] [ 1001 ] ] ];
  };
  "a copy of that is made while clients are served" = {
    expr = map (word: lib.hasInfix " ${word} " (lib.replaceStrings [ "\n" ] [ " " ] (state { }).backup)) [ "save" "bgsave" ];
    expected = [ false true ];
  };
  "what is damaged is looked for only when the server has ended by itself, and at the next start, since an end has little time" = {
    expr = map (step: lib.filter (l: lib.hasInfix "/ended" l) (script step)) [ "post-stop" "pre-start" ] ++ [ (lib.filter (lib.hasPrefix "Timeout") (unit { })) ];
    expected = [
      [ "[ \"$EXIT_CODE $EXIT_STATUS\" != \"exited 1\" ] || touch /run/redis-rack/ended" ]
      [ "if [ -e /run/redis-rack/ended ]; then" "  rm /run/redis-rack/ended" ]
      [ "TimeoutStartSec=30min" "TimeoutStopSec=60s" ]
    ];
  };
  "it is healthy while it answers, also if its file cannot grow, when it refuses even a ping" = {
    expr = (builtins.fromJSON (etc { rack = on { }; })."lichen/health.json".text).checks.redis-rack.command;
    expected = "/usr/bin/valkey-cli -s /run/redis-rack/redis.sock dbsize | grep -q '^[0-9]'";
  };
  "the firewall is opened only if asked" = {
    expr = map (server: (eval { rack = on server; }).config.networking.firewall.allowedTCPPorts) [ { port = 99; } { port = 99; openFirewall = true; } ];
    expected = [ [ 22 ] [ 22 99 ] ];
  };
  "one that nobody could reach is refused" = {
    expr = failed { unixSocket = null; };
    expected = [ "services.redis.servers.rack: neither a port nor a socket is given, so nobody could reach it." ];
  };
  "a firewall without a port is refused" = {
    expr = failed { openFirewall = true; };
    expected = [ "services.redis.servers.rack.openFirewall: there is no port to open; set services.redis.servers.rack.port." ];
  };
  "a value of the wrong kind is named" = {
    expr = (eval { rack = { enable = true; appendFsync = "sometimes"; }; }).problems;
    expected = [ "A definition for option `services.redis.servers.rack.appendFsync' is not of type `one of \"no\", \"always\", \"everysec\"'. Defined as \"sometimes\" in appliances/x.nix." ];
  };
}
