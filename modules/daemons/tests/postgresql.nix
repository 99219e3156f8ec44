# What PostgreSQL's options become, and which are refused.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "postgresql-17" "postgresql-client-17" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = postgresql: modules.evalAppliance { inherit pkgs; modules = [ { _file = "appliances/x.nix"; services.postgresql = postgresql; } ]; };
  etc = postgresql: (eval ({ enable = true; } // postgresql)).config.environment.etc;
  file = name: postgresql: (etc postgresql)."postgresql/${name}".text;
  linesWith = what: text: lib.filter (lib.hasInfix what) (lib.splitString "\n" text);
  unit = postgresql: (etc postgresql)."systemd/system/postgresql.service".text;
  failed = postgresql: map (a: a.message) (eval ({ enable = true; } // postgresql)).failedAssertions;
  problems = postgresql: (eval ({ enable = true; } // postgresql)).problems;
in
{
  "an appliance that does not ask for it has nothing of it" = {
    expr = let it = (eval { }).config; in [ (it.systemd.services ? postgresql) (it.users.users ? postgres) it.lichen.configurationChecks ];
    expected = [ false false { } ];
  };
  "it is sound" = { expr = [ (failed { }) (problems { }) ]; expected = [ [ ] [ ] ]; };
  "settings are written as PostgreSQL reads them, and those of the page come first" = {
    expr = linesWith "_" (file "postgresql.conf" { settings = { shared_buffers = "1GB"; log_min_duration_statement = 500; log_lock_waits = true; search_path = "it's"; jit_provider = null; }; });
    expected = [
      "autovacuum_naptime = '5min'" "bgwriter_lru_maxpages = 0" "checkpoint_timeout = '30min'" "effective_cache_size = '256MB'"
      "hba_file = '/etc/postgresql/pg_hba.conf'" "huge_pages = 'off'" "ident_file = '/etc/postgresql/pg_ident.conf'"
      "include_if_exists = '/run/postgresql/full.conf'"
      "listen_addresses = 'localhost'" "log_checkpoints = off" "log_line_prefix = '[%p] '" "log_lock_waits = on" "log_min_duration_statement = 500"
      "maintenance_work_mem = '32MB'" "max_wal_senders = 0" "max_wal_size = '512MB'" "random_page_cost = 1.500000" "search_path = 'it''s'"
      "shared_buffers = '1GB'" "synchronous_commit = 'on'" "unix_socket_directories = '/run/postgresql'" "wal_compression = 'lz4'" "wal_level = 'minimal'"
    ];
  };
  "another version of an application's tables is another version of the data, and a higher number" = {
    expr = map (schemas: (eval { enable = true; inherit schemas; }).config.lichen.state.postgresql.version) [ { } { rack = "1"; } { rack = "2"; } { rack = "2"; wiki = "7"; } ];
    expected = [ "17" "17.1" "17.2" "17.2.7" ];
  };
  "it listens to the network if told to" = {
    expr = linesWith "listen" (file "postgresql.conf" { enableTCPIP = true; });
    expected = [ "listen_addresses = '*'" ];
  };
  "who the page lets in comes before whom everybody lets in" = {
    expr = lib.take 2 (lib.splitString "\n" (file "pg_hba.conf" { authentication = "host rack rack 10.0.0.0/8 scram-sha-256"; }));
    expected = [ "host rack rack 10.0.0.0/8 scram-sha-256" "local all postgres         peer map=postgres" ];
  };
  "databases and roles are made if they are missing, whatever their names" = {
    expr = file "setup.sql" {
      ensureDatabases = [ "it's" ];
      ensureUsers = [ { name = "it's"; ensureDBOwnership = true; ensureClauses = { createdb = true; login = false; }; } { name = "b\"c"; ensureClauses.superuser = true; } ];
    };
    expected = ''
      SELECT format('CREATE DATABASE %I', 'it'''s') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'it'''s') \gexec
      SELECT format('CREATE USER %I', 'it'''s') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'it'''s') \gexec
      ALTER ROLE "it's" CREATEDB NOLOGIN;
      ALTER DATABASE "it's" OWNER TO "it's";
      SELECT format('CREATE USER %I', 'b"c') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'b"c') \gexec
      ALTER ROLE "b""c" SUPERUSER;
    '';
  };
  "the script for a new cluster runs once, and before that" = {
    expr = map lib.trim (linesWith "psql" (etc { initialScript = "/var/lib/first.sql"; })."lichen/scripts/postgresql-setup-start".text);
    expected = map (file: "psql -X -q -v ON_ERROR_STOP=1 -p 5432 -d postgres -f /etc/postgresql/${file}.sql") [ "initial" "setup" ];
  };
  "what is to be run only on the device is not run by the build" = {
    expr = map (script: builtins.elem "postgresql/initial.sql" (eval { enable = true; initialScript = script; }).config.lichen.configurationChecks.postgresql.etc)
      [ "/var/lib/first.sql" ./postgresql.nix ];
    expected = [ false true ];
  };
  "another setting restarts it, another user who may log in only reloads it" = {
    expr =
      let triggers = what: postgresql: linesWith "X-${what}-Triggers" (unit postgresql); in
      map (p: [ (triggers "Restart" p == triggers "Restart" { }) (triggers "Reload" p == triggers "Reload" { }) ]) [ { settings.port = 99; } { authentication = "local a a trust"; } ];
    expected = [ [ false true ] [ true false ] ];
  };
  "room for its log is kept before it starts, and given away when it ends without any" = {
    expr = map (step: linesWith "reserve" (etc { })."lichen/scripts/postgresql-${step}".text != [ ]) [ "pre-start" "post-stop" "room-start" ];
    expected = [ true true true ];
  };
  "half of it, so that others who take what was given away do not keep the server from starting" = {
    expr = map lib.trim (linesWith "truncate" (etc { })."lichen/scripts/postgresql-post-stop".text);
    expected = [ "truncate -s $(($(stat -c %s /var/lib/postgresql/reserve) / 2)) /var/lib/postgresql/reserve" ];
  };
  "whether there is room again is asked every minute, and only while it refuses to write; that is noted where there always is room" = {
    expr = lib.concatMap (unit: lib.filter (l: lib.any (key: lib.hasPrefix key l) [ "Condition" "ReadWritePaths" "OnUnit" "Accuracy" ]) (lib.splitString "\n" (etc { })."systemd/system/postgresql-room.${unit}".text)) [ "service" "timer" ];
    expected = [ "ConditionPathExists=/run/postgresql/full.conf" "ReadWritePaths=-/run/postgresql" "AccuracySec=5s" "OnUnitInactiveSec=1min" ];
  };
  "its memory may be changed by the page" = {
    expr = linesWith "MemoryMax" (modules.evalAppliance {
      inherit pkgs;
      modules = [ { services.postgresql.enable = true; systemd.services.postgresql.serviceConfig.MemoryMax = "1G"; } ];
    }).config.environment.etc."systemd/system/postgresql.service".text;
    expected = [ "MemoryMax=1G" ];
  };
  "its data are protected from another major version" = {
    expr = let state = (builtins.fromJSON (etc { settings.port = 99; })."lichen/state.json".text).postgresql; in removeAttrs state [ "restore" ];
    expected = { version = "17"; directory = "/var/lib/postgresql"; user = "postgres"; backup = "/usr/lib/postgresql/17/bin/pg_dumpall -p 99"; };
  };
  "a database that nobody makes cannot be owned" = {
    expr = failed { ensureUsers = [ { name = "rack"; ensureDBOwnership = true; } ]; };
    expected = [ "services.postgresql.ensureUsers: rack is to own the database rack, which services.postgresql.ensureDatabases does not name." ];
  };
  "an option of NixOS's that is not offered says so" = {
    expr = failed { enableJIT = true; dataDir = "/srv"; };
    expected = [
      "services.postgresql.dataDir is not offered: the data are in /var/lib/postgresql/17, where updates protect them."
      "services.postgresql.enableJIT is not offered: it needs LLVM, 120 MB on the device."
    ];
  };
  "a misspelt option and a value of the wrong kind are named" = {
    expr = problems { ensureDatabase = [ "a" ]; } ++ problems { ensureDatabases = "a"; } ++ problems { settings.port = "http"; };
    expected = [
      "The option `services.postgresql.ensureDatabase' does not exist. Defined in appliances/x.nix. Did you mean `services.postgresql.ensureDatabases'?"
      "A definition for option `services.postgresql.ensureDatabases' is not of type `list of string'. Defined as \"a\" in appliances/x.nix."
      "A definition for option `services.postgresql.settings.port' is not of type `16 bit unsigned integer; between 0 and 65535 (both inclusive)'. Defined as \"http\" in appliances/x.nix."
    ];
  };
}
