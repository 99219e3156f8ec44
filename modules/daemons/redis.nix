# Servers that speak Redis's protocol, with NixOS's options. The program is Valkey 8.1, which Debian has beside Redis 8.0: the same
# protocol, commands and files, a licence (BSD) that asks nothing of who hands out an image, and less memory per key.
#
# A server is a cache unless its page says `appendOnly`: it then keeps what it acknowledged, at most a second old at a power
# cut (`appendFsync`), and refuses to write when it is full, where a cache forgets what was used least.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault mkEnableOption mkIf mkOption types;
  daemon = import ./common/daemon.nix { inherit lib; };
  cfg = config.services.redis;
  servers = lib.filterAttrs (_: server: server.enable) cfg.servers;
  unit = name: "redis${lib.optionalString (name != "") "-${name}"}";
  option = type: default: description: mkOption { inherit type default description; };

  text = v: if v == true then "yes" else if v == false then "no" else toString v;
  # An empty argument has to be quoted, and so has one with spaces, unless the directive takes several.
  lines = name: v: map (one: "${name} ${text one}\n") (lib.toList v);
  conf = server: lib.concatStrings (lib.concatLists (lib.mapAttrsToList lines (lib.filterAttrs (_: v: v != null) server.settings)));

  server = { name, config, ... }: {
    options = {
      enable = mkEnableOption "this server";
      user = option types.str "redis" "The user that it runs as. Ids are fixed, so that all servers have the same one unless their page declares another.";
      group = mkOption { type = types.str; default = config.user; defaultText = lib.literalMD "the user's name"; description = "The group that it runs as, whose members may use the socket."; };
      port = option types.port (if name == "" then 6379 else 0) "The port; 0 listens on the socket only." // { defaultText = lib.literalMD "6379 for the server without a name, else 0"; };
      openFirewall = option types.bool false "Whether to open the port in the firewall.";
      extraParams = option (types.listOf types.str) [ ] "Further arguments of the program.";
      bind = mkOption { type = types.nullOr types.str; default = "127.0.0.1"; example = "192.168.0.5"; description = "The address to listen on; null for all of them."; };
      unixSocket = mkOption { type = types.nullOr types.path; default = "/run/${unit name}/redis.sock"; defaultText = lib.literalMD "`redis.sock` below {file}`/run/redis-NAME`"; description = "The socket to listen on."; };
      unixSocketPerm = option types.int 660 "Permissions of the socket, in octal.";
      logLevel = mkOption { type = types.str; default = "notice"; example = "debug"; description = "How much it tells the journal."; };
      databases = option types.int 16 "The number of databases.";
      maxclients = option types.int 1000 "How many clients may be connected.";
      save = mkOption {
        type = types.listOf (types.listOf types.int);
        default = if config.appendOnly then [ ] else [ [ 3600 1 ] ];
        defaultText = lib.literalMD "once an hour if anything has changed; never with `appendOnly`";
        example = [ [ 900 1 ] [ 300 10 ] ];
        description = "When to write everything to the card: seconds, and changes within them.";
      };
      slaveOf = mkOption {
        type = types.nullOr (types.submodule {
          options = {
            ip = mkOption { type = types.str; description = "Address of the server to copy."; };
            port = mkOption { type = types.port; description = "Port of the server to copy."; };
          };
        });
        default = null;
        description = "The server that this one is a copy of.";
      };
      requirePassFile = mkOption { type = types.nullOr types.path; default = null; example = "/run/keys/redis"; description = "A file on the device with the password of clients."; };
      masterAuthFile = option (types.nullOr types.path) null "A file on the device with the password for {option}`slaveOf`.";
      appendOnly = option types.bool false "Whether to keep what is acknowledged, and not only what the last {option}`save` has written.";
      appendFsync = mkOption { type = types.enum [ "no" "always" "everysec" ]; default = "everysec"; description = "When what is appended has to be on the card. With `always`, a server that DATA has no room for ends at each write, and starts again with all that it had; with `everysec` it refuses to write."; };
      slowLogLogSlowerThan = option types.int 10000 "Commands slower than this, in microseconds, are remembered; negative for none.";
      slowLogMaxLen = option types.int 128 "How many slow commands are remembered.";
      settings = mkOption {
        type = types.attrsOf (types.oneOf [ types.bool types.int types.str (types.listOf types.str) ]);
        default = { };
        example = { maxmemory = "256mb"; };
        description = "Directives of {file}`valkey.conf`. A list is a directive that is repeated.";
      };
    };
    config.settings = lib.mkMerge [
      {
        inherit (config) port databases maxclients;
        daemonize = false;
        supervised = "systemd";
        loglevel = config.logLevel;
        logfile = "\"\"";
        syslog-enabled = false;
        dir = "/var/lib/${unit name}";
        dbfilename = "dump.rdb";
        save = if config.save == [ ] then "\"\"" else map (s: "${toString (builtins.elemAt s 0)} ${toString (builtins.elemAt s 1)}") config.save;
        appendonly = config.appendOnly;
        appendfsync = config.appendFsync;
        slowlog-log-slower-than = config.slowLogLogSlowerThan;
        slowlog-max-len = config.slowLogMaxLen;
        maxmemory = mkDefault "128mb";
        maxmemory-policy = mkDefault (if config.appendOnly then "noeviction" else "allkeys-lru");
        # A full card is no reason to refuse what a cache is told.
        stop-writes-on-bgsave-error = mkDefault config.appendOnly;
        aof-load-truncated = mkDefault true;
        # Without this it asks for the locale of the device, and ends if the image does not have that.
        locale-collate = mkDefault "C";
      }
      (mkIf (config.bind != null) { inherit (config) bind; })
      (mkIf (config.bind == null) { protected-mode = mkDefault (config.requirePassFile == null); })
      (mkIf (config.unixSocket != null) { unixsocket = config.unixSocket; unixsocketperm = config.unixSocketPerm; })
      (mkIf (config.slaveOf != null) { replicaof = "${config.slaveOf.ip} ${toString config.slaveOf.port}"; })
    ];
  };

  # How this device's own programs reach a server.
  client = s: "${pkgs.valkey-tools}/bin/valkey-cli "
    + (if s.unixSocket != null then "-s ${s.unixSocket}" else "-h ${if s.bind == null then "127.0.0.1" else s.bind} -p ${toString s.port}");

  made = name: s:
    let
      file = "${unit name}.conf";
      secret = directive: path: lib.optional (path != null) { inherit directive path; };
      secrets = secret "requirepass" s.requirePassFile ++ secret "masterauth" s.masterAuthFile;
      # As the server itself has read it: the file of the page may be one for root only.
      password = lib.optionalString (s.requirePassFile != null) "REDISCLI_AUTH=$(cat /run/${unit name}/requirepass) ";
      directory = "/var/lib/${unit name}";
      damage = import ./common/damage.nix { inherit lib directory; runtime = "/run/${unit name}"; };
    in
    lib.recursiveUpdate
      {
        environment.etc."redis/${file}".text = conf s;
        networking.firewall.allowedTCPPorts = mkIf s.openFirewall [ s.port ];
        assertions = [
          { assertion = s.port != 0 || s.unixSocket != null; message = "services.redis.servers.${name}: neither a port nor a socket is given, so nobody could reach it."; }
          { assertion = !s.openFirewall || s.port != 0; message = "services.redis.servers.${name}.openFirewall: there is no port to open; set services.redis.servers.${name}.port."; }
        ];
        lichen.configurationChecks.${unit name} = {
          packages = [ pkgs.valkey-server ];
          etc = [ "redis/${file}" ];
          script = ''
            # It has no option for this: a server is started without its directory, socket and port.
            sed -E '/^(dir|unixsocket|port|bind|replicaof|supervised) /d' root/etc/redis/${file} > conf
            # With the locale of the device.
            LC_ALL=${config.i18n.defaultLocale} timeout 60 qemu-aarch64 -L /build/root /build/root/usr/bin/valkey-server /build/conf --port 0 --unixsocket /build/socket \
              --ignore-warnings ARM64-COW-BUG > log 2>&1 &
            until [ -S socket ]; do
              kill -0 $! 2> /dev/null || { cat log; echo "error: services.redis.servers.${name}: Valkey refuses a setting (above)"; exit 1; }
              sleep 0.1
            done
            kill $!
            wait $! || true
          '';
        };
        # Copies of the data are made in the group of the user's name.
        users.groups = lib.optionalAttrs (s.user != s.group) { ${s.user}.gid = mkDefault config.users.users.${s.user}.uid; };
        # An earlier Valkey does not read the files of a later one. The copy is a file that both kinds of server can begin with.
        # (What `valkey-cli --rdb -` writes ends with a mark that is no part of it.)
        lichen.state.${unit name} = {
          version = "8";
          inherit directory;
          inherit (s) user;
          # `save` would let all clients wait. The server does one thing at a time in the background, and refuses another.
          backup = ''
            set -e
            cli() { ${password}${client s} -e "$@"; }
            tries=120
            until said=$(cli bgsave 2>&1); do
              tries=$((tries - 1))
              [ $tries -gt 0 ] || { echo "$said" >&2; exit 1; }
              sleep 1
            done
            while cli info persistence | grep -q '^rdb_bgsave_in_progress:1'; do sleep 1; done
            cli info persistence | grep -q '^rdb_last_bgsave_status:ok' || { echo "the server could not save" >&2; exit 1; }
            cat ${directory}/dump.rdb
          '';
          restore =
            if s.appendOnly then ''
              mkdir "$DIRECTORY/appendonlydir"
              cat > "$DIRECTORY/appendonlydir/appendonly.aof.1.base.rdb"
              echo "file appendonly.aof.1.base.rdb seq 1 type b" > "$DIRECTORY/appendonlydir/appendonly.aof.manifest"
            ''
            else "cat > \"$DIRECTORY/dump.rdb\"";
        };
      }
      (daemon (unit name) {
        inherit (s) user group;
        # One whose file DATA has no room for refuses to answer a ping, too; it still does what it can.
        health.command = "${password}${client s} dbsize | grep -q '^[0-9]'";
        definition = lib.recursiveUpdate {
          description = "Valkey, a server for clients of Redis${lib.optionalString (name != "") ": ${name}"}";
          restartTriggers = [ (conf s) ];
          serviceConfig = {
            Type = "notify";
            ExecStart = "${pkgs.valkey-server}/bin/valkey-server /etc/redis/${file}"
              + lib.concatMapStrings (one: " --include /run/${unit name}/${one.directive}.conf") secrets
              + lib.optionalString (s.extraParams != [ ]) " ${lib.escapeShellArgs s.extraParams}";
            StateDirectory = unit name;
            StateDirectoryMode = "0700";
            RuntimeDirectory = unit name;
            RuntimeDirectoryMode = "0750";
            # Sockets belong to the group.
            UMask = "0007";
            TimeoutStopSec = "60s";
            MemoryMax = mkDefault "320M";
            TasksMax = mkDefault 64;
          };
          # A torn end, as a power cut leaves it, is the server's own affair. With any other damage it ends with status 1, and would for
          # ever: what is damaged is cut back or put aside. <3> is an error in the journal.
          preStart = damage.before ''
            if [ -e dump.rdb ] && ! ${pkgs.valkey-tools}/bin/valkey-check-rdb dump.rdb > /dev/null 2>&1; then
              aside dump.rdb && echo '<3>dump.rdb is damaged: it was put aside in ${directory}/damaged'
            fi
            check_aof=${pkgs.valkey-tools}/bin/valkey-check-aof
            log=appendonlydir/appendonly.aof.manifest
            # While the log is written anew, the file before the last one may be torn, too. Each is looked at by itself, up to the first
            # damaged one: what is in those after it was written later. Nothing is copied but the end that is cut off, if there is room.
            cut_back() {
              local word file rest damaged good= later=() tail end
              while read -r word file rest; do
                if [ -n "$good" ]; then
                  later+=(appendonlydir/$file)
                  continue
                fi
                echo "$word $file $rest" >&3 || return 1
                [ "''${rest##* }" != h ] || continue
                good=$($check_aof appendonlydir/$file 2>&1) && good= && continue
                good=$(sed -n 's/.*, ok_up_to=\([0-9]*\),.*/\1/p' <<< "$good")
                [ -n "$good" ] || return 1
                damaged=appendonlydir/$file
              done < $log 3> $log.new
              [ -n "$good" ] || return 1
              # As much as all other writers may need is left to them.
              tail=$((($(stat -c %s $damaged) - good) >> 20))
              [ $tail = 0 ] || [ $tail -lt $(($(df --output=avail --block-size=1M . | tail -n 1) - 64)) ] || return 1
              end=damaged/$number-''${damaged##*/}.from-$good
              tail -c +$((good + 1)) $damaged > $end && sync $log.new $end && mv $log.new $log && truncate -s $good $damaged || { rm -f $end; return 1; }
              [ ''${#later[@]} = 0 ] || aside "''${later[@]}"
            }
            if [ -e $log ] && ! $check_aof $log > /dev/null 2>&1; then
              if cut_back && $check_aof $log > /dev/null 2>&1; then
                echo '<3>appendonlydir is damaged: it was cut back to what is whole; the rest was put aside in ${directory}/damaged'
              else
                aside appendonlydir && echo '<3>appendonlydir is damaged: it was put aside in ${directory}/damaged'
              fi
            fi
          ''
          # Members of the group may use the socket, and not read the passwords.
          + lib.optionalString (secrets != [ ]) ''
            umask 077
            cd /run/${unit name}
          '' + lib.concatMapStrings
            ({ directive, ... }: ''
              rm -f ${directive} ${directive}.conf
              cat "$CREDENTIALS_DIRECTORY/${directive}" > ${directive}
              printf '${directive} "%s"\n' "$(sed 's/[\\"]/\\&/g' ${directive})" > ${directive}.conf
            '')
            secrets;
          postStop = damage.after;
        } { serviceConfig = damage.serviceConfig // lib.optionalAttrs (secrets != [ ]) { LoadCredential = map (one: "${one.directive}:${one.path}") secrets; }; };
      });
  all = lib.mapAttrsToList made servers;
  of = path: lib.mkMerge (map (lib.getAttrFromPath path) all);
in
{
  imports = [
    (import ./common/not-offered.nix [ "services" "redis" ] { package = "the program is Debian's Valkey."; })
  ];

  options.services.redis = {
    vmOverCommit = option types.bool true "Whether the kernel lends memory that there may not be: a server that writes everything to the card is there twice for a moment.";
    servers = mkOption {
      type = types.attrsOf (types.submodule server);
      default = { };
      example = { rack = { enable = true; settings.maxmemory = "256mb"; }; };
      description = "Servers, by name. The one named \"\" is `redis.service`, another `redis-NAME.service`.";
    };
  };

  config = mkIf (servers != { }) {
    boot.kernel.sysctl."vm.overcommit_memory" = mkIf cfg.vmOverCommit (mkDefault 1);
    assertions = of [ "assertions" ];
    environment.etc = of [ "environment" "etc" ];
    lichen.configurationChecks = of [ "lichen" "configurationChecks" ];
    lichen.healthChecks = of [ "lichen" "healthChecks" ];
    lichen.state = of [ "lichen" "state" ];
    networking.firewall.allowedTCPPorts = of [ "networking" "firewall" "allowedTCPPorts" ];
    systemd.services = of [ "systemd" "services" ];
    users.groups = of [ "users" "groups" ];
    users.users = of [ "users" "users" ];
  };
}
