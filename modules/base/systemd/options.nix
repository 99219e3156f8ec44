# The options of systemd units, by kind; names and types as in NixOS.
{ lib }:
let
  inherit (lib) mkOption types literalExpression;

  isScalar = x: builtins.isString x || builtins.isInt x || builtins.isFloat x || builtins.isBool x || x == null
    || builtins.isPath x || x ? outPath;

  # A value in a unit file: one, or a list that becomes one line each. A list joins with whatever else is defined.
  unitOption = lib.mkOptionType {
    name = "systemd option";
    description = "systemd option";
    descriptionClass = "noun";
    check = x: isScalar x || (builtins.isList x && builtins.all isScalar x);
    merge = loc: defs:
      if builtins.any (d: builtins.isList d.value) defs then lib.concatMap (d: lib.toList d.value) defs
      else lib.mergeEqualOption loc defs;
    conflict = loc: defs:
      if builtins.any (d: builtins.isList d.value) defs then null else lib.conflictUnlessEqual loc defs;
  };

  names = description: mkOption { default = [ ]; type = types.listOf types.str; inherit description; };
  section = kind: example: mkOption {
    default = { };
    inherit example;
    type = types.attrsOf unitOption;
    description = "Lines of the `[${kind}]` section of the unit, by their names there.";
  };
  lines = description: mkOption { type = types.lines; default = ""; inherit description; };
in
rec {
  inherit unitOption section;

  # What `systemd.units` holds of any unit: how it is put in place.
  sharedOptions = {
    enable = mkOption {
      default = true;
      type = types.bool;
      description = "Whether this unit exists. If false, it is masked: nothing can start it.";
    };
    overrideStrategy = mkOption {
      default = "asDropinIfExists";
      type = types.enum [ "asDropinIfExists" "asDropin" ];
      description = ''
        `asDropinIfExists` makes a drop-in where Debian ships a unit of this name, and else a unit of its own;
        `asDropin` always makes a drop-in, which is what instances of templates (`getty@tty1`) need.
      '';
    };
    requiredBy = names "Units that require this one: they fail if it can't be started.";
    upheldBy = names "Units that uphold this one: while they run, it is kept running.";
    wantedBy = names "Units that want this one: it is started with them, but may fail.";
    aliases = names "Further names of this unit.";
  };

  commonUnitOptions = sharedOptions // {
    description = mkOption { default = ""; type = types.singleLineStr; description = "What the unit is, for people."; };
    documentation = names "URIs of the documentation of this unit.";
    requires = names "Units that are started with this one, and whose failure or stop stops it.";
    wants = names "Units that are started with this one.";
    upholds = names "Units that are kept running while this one runs.";
    after = names "Units that are started before this one, if both are.";
    before = names "Units that are started after this one, if both are.";
    bindsTo = names "Like `requires`, and this unit stops whenever they do, for whatever reason.";
    partOf = names "Units whose stop and restart this unit follows.";
    conflicts = names "Units that stop when this one starts.";
    requisite = names "Units that must run already, or this one fails.";
    onFailure = names "Units that are started when this one fails.";
    onSuccess = names "Units that are started when this one ends well.";
    startLimitBurst = mkOption { type = types.nullOr types.int; default = null; description = "How often the unit may start within `startLimitIntervalSec`."; };
    startLimitIntervalSec = mkOption { type = types.nullOr types.int; default = null; description = "The period of `startLimitBurst`, in seconds; 0 turns the limit off."; };
    unitConfig = section "Unit" { RequiresMountsFor = "/data"; };
    restartTriggers = mkOption {
      default = [ ];
      type = types.listOf types.unspecified;
      description = "Anything whose change means that a switch restarts this unit.";
    };
    reloadTriggers = mkOption {
      default = [ ];
      type = types.listOf types.unspecified;
      description = "Anything whose change means that a switch reloads this unit.";
    };
  };

  serviceOptions = {
    environment = mkOption {
      default = { };
      type = types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package ]));
      example = { RUST_LOG = "info"; };
      description = "Environment variables of the service's processes. null leaves one out.";
    };
    path = mkOption {
      default = [ ];
      type = types.listOf (types.oneOf [ types.package types.str ]);
      example = literalExpression "[ pkgs.ffmpeg ]";
      description = "Packages whose {file}`bin` and {file}`sbin` are the service's {env}`PATH`. Without any, systemd's own default.";
    };
    serviceConfig = section "Service" { RestartSec = 5; };
    script = lines "Shell commands that are the service's main process.";
    scriptArgs = mkOption { type = types.str; default = ""; example = "%i"; description = "Arguments of the main process script."; };
    preStart = lines "Shell commands before the main process starts.";
    postStart = lines "Shell commands after the main process has started.";
    reload = lines "Shell commands that reload the service.";
    preStop = lines "Shell commands that stop the service.";
    postStop = lines "Shell commands after the service has exited.";
    restartIfChanged = mkOption { type = types.bool; default = true; description = "Whether a switch restarts the service when its unit has changed."; };
    reloadIfChanged = mkOption { type = types.bool; default = false; description = "Whether a switch reloads the service, instead of restarting it, when its unit has changed."; };
    stopIfChanged = mkOption { type = types.bool; default = true; description = "Whether a switch stops the old service before it starts the changed one; else it restarts it in one go."; };
    notSocketActivated = mkOption { type = types.bool; default = false; description = "Whether a switch treats the service as not socket-activated, though it has a socket."; };
    startAt = mkOption {
      type = types.either types.str (types.listOf types.str);
      default = [ ];
      apply = v: if builtins.isList v then v else [ v ];
      example = "Sun 14:00:00";
      description = "When to start the service, as calendar events: makes a timer of the same name.";
    };
  };

  kinds = {
    services = { suffix = "service"; options = serviceOptions; };
    timers = { suffix = "timer"; options.timerConfig = section "Timer" { OnCalendar = "daily"; Persistent = true; }; };
    sockets = {
      suffix = "socket";
      options = {
        listenStreams = names "Each a `ListenStream=` line.";
        listenDatagrams = names "Each a `ListenDatagram=` line.";
        socketConfig = section "Socket" { ListenStream = "/run/x.socket"; };
      };
    };
    targets = { suffix = "target"; options = { }; };
    paths = { suffix = "path"; options.pathConfig = section "Path" { PathChanged = "/var/lib/x"; }; };
    slices = { suffix = "slice"; options.sliceConfig = section "Slice" { MemoryMax = "512M"; }; };
  };

  mountOptions = {
    what = mkOption { type = types.str; example = "/dev/sda1"; description = "The device, file or directory to mount."; };
    where = mkOption { type = types.str; example = "/mnt"; description = "Where to mount it."; };
    type = mkOption { type = types.str; default = ""; example = "ext4"; description = "The file system type."; };
    options = mkOption { type = types.commas; default = ""; example = "noatime"; description = "Mount options."; };
    mountConfig = section "Mount" { DirectoryMode = "0775"; };
  };
  automountOptions = {
    where = mkOption { type = types.str; example = "/mnt"; description = "Where the automount is."; };
    automountConfig = section "Automount" { TimeoutIdleSec = "10min"; };
  };
}
