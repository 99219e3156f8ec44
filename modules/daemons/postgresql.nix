# Debian's PostgreSQL 17 with NixOS's options. The cluster is made at first boot in /var/lib/postgresql/17, with checksums.
# What is acknowledged is on the card, as everywhere; the defaults only make fewer and larger writes of it.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault mkEnableOption mkIf mkOption types;
  daemon = import ./common/daemon.nix { inherit lib; };
  sql = import ./postgresql/sql.nix { inherit lib; };
  cfg = config.services.postgresql;
  version = "17";
  data = "/var/lib/postgresql/${version}";
  programs = "${pkgs.postgresql-17}/lib/postgresql/${version}/bin";
  room = import ./postgresql/room.nix { inherit version programs; directory = "/var/lib/postgresql"; };
  option = type: default: description: mkOption { inherit type default description; };

  value = v: if v == true then "on" else if v == false then "off" else if builtins.isString v then sql.literal v else toString v;
  files = {
    "postgresql/postgresql.conf".text = lib.concatStrings
      (lib.mapAttrsToList (name: v: "${name} = ${value v}\n") (lib.filterAttrs (_: v: v != null) cfg.settings));
    "postgresql/pg_hba.conf".text = cfg.authentication;
    "postgresql/pg_ident.conf".text = cfg.identMap;
    # Run at every start, and changes only what is not yet as it should be.
    "postgresql/setup.sql".text = sql.ensured { inherit (cfg) ensureDatabases ensureUsers; } + cfg.setup;
  } // lib.optionalAttrs (cfg.initialScript != null) { "postgresql/initial.sql".source = cfg.initialScript; };
  # A script may also be one that only the device has.
  initialKnown = cfg.initialScript != null && (builtins.isPath cfg.initialScript || lib.hasPrefix builtins.storeDir cfg.initialScript);

  confined = {
    User = "postgres";
    Group = "postgres";
    StateDirectory = "postgresql";
    StateDirectoryMode = "0700";
    UMask = "0077";
    # Who is at the other end of the socket is seen only in the device's own user namespace.
    PrivateUsers = false;
    # The server's processes share memory, which the end of another unit of this user must not take away.
    PrivateIPC = false;
    RemoveIPC = false;
  };

  # PostgreSQL's own locale, in which no update of another package changes an order that an index relies on.
  initdb = directory: "initdb -D ${directory} --username=postgres --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 "
    + "--data-checksums --auth=peer --no-instructions "
    + lib.escapeShellArgs cfg.initdbArgs;
  psql = "psql -X -q -v ON_ERROR_STOP=1 -p ${toString cfg.settings.port} -d postgres";
in
{
  imports = [
    (import ./common/not-offered.nix [ "services" "postgresql" ] {
      package = "Debian 13 has one version, 17.";
      dataDir = "the data are in ${data}, where updates protect them.";
      enableJIT = "it needs LLVM, 120 MB on the device.";
      extensions = "those of postgresql-contrib are there; CREATE EXTENSION suffices.";
      extraPlugins = "those of postgresql-contrib are there; CREATE EXTENSION suffices.";
      recoveryConfig = "a standby has its settings in services.postgresql.settings.";
    })
  ];

  options.services.postgresql = {
    enable = mkEnableOption "PostgreSQL";
    enableTCPIP = option types.bool false "Whether to listen on all addresses, and not only on this device. The firewall and {option}`services.postgresql.authentication` have to let clients in, too.";
    settings = mkOption {
      default = { };
      example = { shared_buffers = "128MB"; log_min_duration_statement = 500; };
      description = "Settings of {file}`postgresql.conf`. The build starts the server with them.";
      type = types.submodule {
        freeformType = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.float types.int types.str ]));
        options.port = option types.port 5432 "The port, which is also part of the socket's name.";
        options.shared_preload_libraries = mkOption {
          type = types.nullOr (types.coercedTo (types.listOf types.str) (lib.concatStringsSep ",") types.commas);
          default = null;
          example = [ "auto_explain" ];
          description = "Libraries that are loaded when the server starts.";
        };
      };
    };
    authentication = mkOption {
      type = types.lines;
      default = "";
      example = "host rack rack 192.168.0.0/24 scram-sha-256";
      description = ''
        Who may log in how: lines of {file}`pg_hba.conf`, before those that let the users of this device in on the socket,
        each as the role of the same name, and in on the loopback interface with a password. Use `mkForce` to be rid of those.
      '';
    };
    identMap = option types.lines "" "Which user may be which role: lines of {file}`pg_ident.conf`.";
    initdbArgs = mkOption { type = types.listOf types.str; default = [ ]; example = [ "--locale-provider=icu" "--icu-locale=de" ]; description = "Further arguments of {command}`initdb`, for a cluster that is not made yet."; };
    initialScript = mkOption { type = types.nullOr types.path; default = null; description = "SQL that runs once, as `postgres`, in a cluster that was just made."; };
    ensureDatabases = mkOption { type = types.listOf types.str; default = [ ]; example = [ "rack" ]; description = "Databases that are made if they are missing. None is ever removed."; };
    ensureUsers = mkOption {
      default = [ ];
      example = [{ name = "rack"; ensureDBOwnership = true; }];
      description = "Roles that are made if they are missing. None is ever removed.";
      type = types.listOf (types.submodule {
        options = {
          name = mkOption { type = types.str; description = "The name of the role."; };
          ensureDBOwnership = option types.bool false "Whether the role owns the database of the same name.";
          ensureClauses = lib.genAttrs [ "superuser" "createrole" "createdb" "inherit" "login" "replication" "bypassrls" ]
            (clause: option (types.nullOr types.bool) null "Whether the role has the attribute `${clause}`; null leaves it as it is.");
        };
      });
    };
    checkConfig = option types.bool true "Whether the build starts the server with this configuration.";
    setup = mkOption { type = types.lines; default = ""; internal = true; description = "SQL of other modules, run at every start after the databases and roles are made."; };
    schemas = mkOption { type = types.attrsOf types.str; default = { }; internal = true; description = "Versions of what applications keep in their databases, by the name of the database. They are a part of the version of the server's data, which are copied before any of them changes."; };
    superUser = mkOption { type = types.str; default = "postgres"; internal = true; readOnly = true; description = "The role that may do everything."; };
  };

  config = mkIf cfg.enable (lib.mkMerge [
    {
      services.postgresql = {
        settings = import ./postgresql/settings.nix { inherit lib; } // {
          listen_addresses = mkDefault (if cfg.enableTCPIP then "*" else "localhost");
          hba_file = "/etc/postgresql/pg_hba.conf";
          ident_file = "/etc/postgresql/pg_ident.conf";
          include_if_exists = room.full;
        };
        authentication = lib.mkAfter ''
          local all postgres         peer map=postgres
          local all all              peer
          host  all all 127.0.0.1/32 scram-sha-256
          host  all all ::1/128      scram-sha-256
        '';
        identMap = lib.mkAfter ''
          postgres root     postgres
          postgres postgres postgres
        '';
      };

      assertions = map
        (user: {
          assertion = user.ensureDBOwnership -> builtins.elem user.name cfg.ensureDatabases;
          message = "services.postgresql.ensureUsers: ${user.name} is to own the database ${user.name}, which services.postgresql.ensureDatabases does not name.";
        })
        cfg.ensureUsers;

      environment.etc = files;
      environment.systemPackages = [ pkgs.postgresql-client-17 ];

      # What needs the databases waits for this.
      systemd.targets.postgresql = {
        description = "PostgreSQL with its databases and roles";
        wantedBy = [ "multi-user.target" ];
        requires = [ "postgresql.service" "postgresql-setup.service" ];
        after = [ "postgresql.service" "postgresql-setup.service" ];
      };
      systemd.services.postgresql-setup = {
        description = "Make PostgreSQL's databases and roles";
        wantedBy = [ "multi-user.target" ];
        requires = [ "postgresql.service" ];
        after = [ "postgresql.service" ];
        path = [ "${pkgs.postgresql-17}/lib/postgresql/${version}" "/usr" ];
        restartTriggers = [ files."postgresql/setup.sql".text ];
        # What is still to be made is small.
        environment.PGOPTIONS = "-c default_transaction_read_only=off";
        script = ''
          if [ -e ${data}/.first_startup ]; then
            ${lib.optionalString (cfg.initialScript != null) "${psql} -f /etc/postgresql/initial.sql"}
            rm ${data}/.first_startup
          fi
          ${psql} -f /etc/postgresql/setup.sql
        '';
        serviceConfig = import ../services/common/sandbox.nix // confined // {
          Type = "oneshot";
          RemainAfterExit = true;
          Restart = "on-failure";
          RestartSec = "5s";
        };
      };

      systemd.services.postgresql-room = {
        description = "Let PostgreSQL write again if DATA has room";
        path = [ "/usr" ];
        unitConfig.ConditionPathExists = room.full;
        script = room.again;
        serviceConfig = import ../services/common/sandbox.nix // confined // {
          Type = "oneshot";
          ReadWritePaths = [ "-/run/postgresql" ];
        };
      };
      systemd.timers.postgresql-room = {
        wantedBy = [ "timers.target" ];
        timerConfig = { OnActiveSec = "1min"; OnUnitInactiveSec = "1min"; AccuracySec = "5s"; };
      };

      # Debian's security updates keep the major version, whose data all minor versions read and write. What applications have made of
      # their tables counts as well: all databases are copied, and restored, at once.
      lichen.state.postgresql = {
        version = lib.concatStringsSep "." ([ version ] ++ lib.attrValues cfg.schemas);
        directory = "/var/lib/postgresql";
        user = "postgres";
        backup = "${programs}/pg_dumpall -p ${toString cfg.settings.port}";
        restore = sql.restore { inherit programs version initdb; };
      };

      lichen.configurationChecks.postgresql = mkIf cfg.checkConfig {
        packages = [ pkgs.postgresql-17 ];
        etc = lib.remove (if initialKnown then "" else "postgresql/initial.sql") (lib.attrNames files);
        script = sql.judged { inherit programs initdb psql; initial = initialKnown; };
      };
    }
    (daemon "postgresql" {
      user = "postgres";
      # As a role that there is: that root has none would be an error in the journal each time.
      health.command = "${programs}/pg_isready -q -U postgres -d postgres -p ${toString cfg.settings.port}";
      definition = {
        description = "PostgreSQL ${version}";
        # Whoever starts the server starts these as well: a switch may have stopped them with it.
        wants = [ "postgresql-setup.service" "postgresql.target" ];
        path = [ "${pkgs.postgresql-17}/lib/postgresql/${version}" "/usr" ];
        restartTriggers = [ files."postgresql/postgresql.conf".text ];
        reloadTriggers = [ cfg.authentication cfg.identMap ];
        # A cluster gets its name when it is complete: a first boot may be cut short.
        preStart = ''
          if [ ! -e ${data}/PG_VERSION ]; then
            rm -rf ${data}.new
            ${initdb "${data}.new"}
            touch ${data}.new/.first_startup
            sync -f ${data}.new
            mv -T ${data}.new ${data}
            sync -f ${data}
          fi
        '' + room.before;
        postStop = room.after;
        serviceConfig = {
          Type = "notify";
          ExecStart = "${programs}/postgres -D ${data} -c config_file=/etc/postgresql/postgresql.conf";
          ExecReload = "/bin/kill -HUP $MAINPID";
          # Fast shutdown, as PostgreSQL calls it: sessions end, and nothing has to be recovered at the next start.
          KillSignal = "SIGINT";
          KillMode = "mixed";
          TimeoutStopSec = "60s";
          # A first boot makes the cluster, and a start after a power cut replays what was not yet in the tables.
          TimeoutStartSec = "10min";
          # The server itself recovers from the end of one of its processes.
          OOMPolicy = "continue";
          RuntimeDirectory = "postgresql";
          RuntimeDirectoryMode = "0755";
          MemoryMax = mkDefault "384M";
          TasksMax = mkDefault 200;
        } // confined;
      };
    })
  ]);
}
