# systemd: units, and the manager's own settings.
{ lib, config, utils, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.systemd;
  unit = import ./systemd/options.nix { inherit lib; };
  render = import ./systemd/render.nix { inherit lib; };
  shipped = import ./debian/units.nix;

  unitsOf = kind: mkOption {
    default = { };
    type = types.attrsOf (types.submodule [
      { options = unit.commonUnitOptions // unit.kinds.${kind}.options; }
      (lib.optionalAttrs (kind == "services") serviceConfig)
    ]);
    description = "systemd ${kind}, by their names without the suffix.";
  };
  # What follows from a service's options, where its own definitions can still override it.
  serviceConfig = { config, ... }: {
    config.environment = mkIf (config.path != [ ]) { PATH = render.searchPath config.path; };
  };
  listOf = options: description: mkOption {
    default = [ ];
    type = types.listOf (types.submodule { options = unit.commonUnitOptions // options; });
    inherit description;
  };

  rendered = kind: lib.mapAttrs'
    (name: def: lib.nameValuePair "${name}.${unit.kinds.${kind}.suffix}" {
      inherit (def) enable overrideStrategy requiredBy wantedBy upheldBy aliases;
      text = render.text.${kind} name def;
    })
    cfg.${kind};
  renderedList = kind: suffix: lib.listToAttrs (map
    (def: lib.nameValuePair "${utils.escapeSystemdPath def.where}.${suffix}" {
      inherit (def) enable overrideStrategy requiredBy wantedBy upheldBy aliases;
      text = render.text.${kind} "" def;
    })
    cfg.${kind});

  manager = render.ini [{ name = "Manager"; value = cfg.settings.Manager; }];
in
{
  options.systemd = lib.genAttrs (lib.attrNames unit.kinds) unitsOf // {
    mounts = listOf unit.mountOptions "Mount units; `fileSystems` is the everyday way.";
    automounts = listOf unit.automountOptions "Automount units.";
    units = mkOption {
      default = { };
      type = types.attrsOf (types.submodule {
        options = unit.sharedOptions // {
          text = mkOption { type = types.nullOr types.str; default = ""; description = "The text of the unit."; };
        };
      });
      description = "All units as rendered, by their full names.";
    };
    packages = mkOption {
      default = [ ];
      type = types.listOf types.package;
      description = "Packages that provide systemd units. Debian's do so by being installed.";
    };
    defaultUnit = mkOption {
      default = "multi-user.target";
      type = types.str;
      description = "The unit that a boot aims at.";
    };
    ctrlAltDelUnit = mkOption {
      default = "reboot.target";
      type = types.str;
      example = "poweroff.target";
      description = "What Ctrl-Alt-Delete on an attached keyboard starts; empty for nothing.";
    };
    enableEmergencyMode = mkOption {
      default = false;
      type = types.bool;
      description = ''
        Whether a failure during boot ends at a prompt on the console. An appliance has nobody to answer it, so it
        boots on as far as it can.
      '';
    };
    extraConfig = mkOption {
      default = "";
      type = types.lines;
      example = "DefaultLimitCORE=infinity";
      description = "Further lines of the `[Manager]` section of {file}`/etc/systemd/system.conf`.";
    };
    settings.Manager = mkOption {
      default = { };
      type = types.attrsOf unit.unitOption;
      example = { DefaultTimeoutStopSec = "30s"; };
      description = "Settings of the service manager, see {manpage}`systemd-system.conf(5)`.";
    };
    watchdog = {
      device = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/dev/watchdog0";
        description = "The hardware watchdog; null for the first one.";
      };
      runtimeTime = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "15s";
        description = "How long the system may hang before the hardware watchdog resets it.";
      };
      rebootTime = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "2min";
        description = "How long a reboot may take before the hardware watchdog forces it.";
      };
      kexecTime = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "How long a kexec may take before the hardware watchdog resets the system.";
      };
    };
    coredump.enable = mkOption {
      type = types.bool;
      default = false;
      description = "Whether crashing processes leave a core dump. They hold secrets and wear the card.";
    };
  };

  config = {
    systemd.units = lib.mkMerge (map rendered (lib.attrNames unit.kinds)
      ++ [ (renderedList "mounts" "mount") (renderedList "automounts" "automount") ]);
    systemd.timers = lib.mapAttrs
      (_: service: { wantedBy = [ "timers.target" ]; timerConfig.OnCalendar = service.startAt; })
      (lib.filterAttrs (_: service: service.enable && service.startAt != [ ]) cfg.services);

    systemd.settings.Manager = {
      WatchdogDevice = mkIf (cfg.watchdog.device != null) cfg.watchdog.device;
      RuntimeWatchdogSec = mkIf (cfg.watchdog.runtimeTime != null) cfg.watchdog.runtimeTime;
      RebootWatchdogSec = mkIf (cfg.watchdog.rebootTime != null) cfg.watchdog.rebootTime;
      KExecWatchdogSec = mkIf (cfg.watchdog.kexecTime != null) cfg.watchdog.kexecTime;
      DefaultLimitCORE = mkIf (!cfg.coredump.enable) (lib.mkDefault 0);
    };
    # With enableEmergencyMode off these don't exist, as in NixOS: a failed mount doesn't stop the boot.
    systemd.targets = mkIf (!cfg.enableEmergencyMode) { emergency.enable = false; rescue.enable = false; };
    systemd.services = lib.mkMerge [
      (mkIf (!cfg.enableEmergencyMode) { emergency.enable = false; rescue.enable = false; })
      {
        # Root and /usr are mounted by the initrd as they have to be.
        systemd-remount-fs.enable = false;
        # Programs that use a screen load it themselves; the login manager would load it on every device.
        "modprobe@drm".enable = false;
        # No firmware of these boards stores variables.
        "modprobe@efi_pstore".enable = false;
        systemd-udev-load-credentials.unitConfig.ConditionDirectoryNotEmpty = [ "|/run/credentials/@system" "|/run/credentials/@encrypted" ];
      }
    ];
    boot.kernel.sysctl."kernel.core_pattern" = mkIf (!cfg.coredump.enable) (lib.mkDefault "|/bin/false");

    environment.systemPackages = cfg.packages;
    environment.etc = lib.mkMerge (
      lib.mapAttrsToList (render.place shipped) cfg.units
      ++ lib.concatLists (lib.mapAttrsToList
        (name: def: lib.mapAttrsToList
          (step: s: {
            ${render.scriptFile name step} = { text = render.scriptText s.text; enable = def.enable && s.text != ""; mode = "0755"; };
          })
          (render.allScripts def))
        cfg.services)
      ++ [
        {
          "systemd/system/default.target".source = "/usr/lib/systemd/system/${cfg.defaultUnit}";
          "systemd/system/ctrl-alt-del.target".source =
            if cfg.ctrlAltDelUnit == "" then "/dev/null" else "/usr/lib/systemd/system/${cfg.ctrlAltDelUnit}";
          "systemd/system.conf".text = lib.concatStringsSep "\n" (lib.filter (s: s != "")
            [ (if manager == "" then "[Manager]" else lib.removeSuffix "\n" manager) cfg.extraConfig ]) + "\n";
        }
      ]
    );

    assertions = lib.mapAttrsToList
      (name: def: {
        assertion = !def.enable || def.overrideStrategy == "asDropin" || builtins.elem "${name}.service" shipped
          || lib.hasInfix "@" name
          || def.script != "" || def.serviceConfig ? ExecStart || def.serviceConfig ? ExecStop || def.unitConfig ? SuccessAction
          || def.serviceConfig.Type or "" == "oneshot" && (def.preStart != "" || def.serviceConfig ? ExecStartPre);
        message = "Service `${name}' has nothing to run: neither `script' nor `serviceConfig.ExecStart', and Debian ships no unit of that name.";
      })
      cfg.services;
  };
}
