# What is Lichen's own: the units of lichenctl, and defaults for devices that nobody watches.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.lichen;
  lichenctl = "${pkgs.lichenctl}/bin/lichenctl";
  check = description: example: mkOption { type = types.nullOr types.str; default = null; inherit description example; };
  given = lib.filterAttrs (_: v: v != null);
in
{
  options.lichen = {
    healthChecks = mkOption {
      default = { };
      example = { web.http = "http://127.0.0.1:8080/health"; };
      description = ''
        Conditions, by name, under which a generation is healthy, besides that no unit has failed. A generation that
        is not healthy in time is given up for the one that ran before.
      '';
      type = types.attrsOf (types.submodule {
        options = {
          http = check "An address on the device that has to answer with a 2xx." "http://127.0.0.1:8080/health";
          command = check "A shell command that has to succeed, within 10 seconds." "test -e /run/ready";
          unit = check "A unit that has to be active." "ssh.service";
        };
      });
    };
    state = mkOption {
      default = { };
      description = ''
        Services whose data are protected, by the name of their unit. When a new generation has another
        {option}`version` of the data, they are copied before it runs, and restored if the generation is given up.
      '';
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          version = mkOption { type = types.str; example = "2"; description = "The version of the data. Change it when an earlier version of the service may not be able to read the data any more. A backup is restored where the version is the same or a higher number."; };
          directory = mkOption { type = types.str; default = "/var/lib/${name}"; description = "Where the data are."; };
          user = mkOption { type = types.str; default = name; description = "The user who owns the data, with a group of the same name."; };
          backup = mkOption { type = types.str; example = "notes backup -"; description = "Shell command that writes a copy to stdout while the service runs."; };
          restore = mkOption { type = types.str; example = "notes restore --into \"$DIRECTORY\" /dev/stdin"; description = "Shell command that restores the data into the empty folder {env}`DIRECTORY` from a copy on stdin, which is a file."; };
        };
      }));
    };
    softReboot = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the device may switch to this generation by a soft-reboot, when the kernel stays the same and a live
        switch does not suffice. It takes seconds; otherwise the device is rebooted.
      '';
    };
    healthDeadline = mkOption {
      type = types.ints.positive;
      default = 300;
      description = "Seconds, from the start of userspace or from a live switch, within which a generation has to be healthy.";
    };
  };

  config = {
    assertions = lib.mapAttrsToList
      (name: c: {
        assertion = lib.length (lib.attrNames (given c)) == 1;
        message = "lichen.healthChecks.${name}: exactly one of `http', `command' and `unit' has to be set.";
      })
      cfg.healthChecks;
    environment.etc."lichen/health.json".text = builtins.toJSON {
      deadline = cfg.healthDeadline;
      checks = lib.mapAttrs (_: given) cfg.healthChecks;
    };

    environment.etc."lichen/soft-reboot" = lib.mkIf cfg.softReboot { text = ""; };
    # Started by hand (`systemctl soft-reboot`), userspace would begin again in a root that has lost its mounts, and
    # nobody could log in. lichenctl assembles a new root first.
    systemd.targets.soft-reboot.unitConfig.RefuseManualStart = true;
    systemd.targets.lichen-soft-reboot = {
      description = "Soft-reboot into the root that lichenctl has assembled";
      requires = [ "soft-reboot.target" ];
      after = [ "soft-reboot.target" ];
      unitConfig.DefaultDependencies = false;
    };
    # Runs after a soft-reboot, before anything asks which generation is running.
    systemd.services.lichen-arrive = {
      description = "Take note of the soft-reboot";
      wantedBy = [ "sysinit.target" ];
      after = [ "systemd-journald.socket" ];
      before = [
        "sysinit.target" "shutdown.target"
        "lichen-bless.service" "lichen-restore-state.service" "lichen-provision.service"
      ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        ConditionPathExists = "/.booted";
        FailureAction = "reboot";
      };
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; ExecStart = "${lichenctl} arrive"; };
      restartIfChanged = false;
    };

    environment.etc."lichen/state.json".text = builtins.toJSON cfg.state;
    # Runs before any service opens its data.
    systemd.services.lichen-restore-state = {
      description = "Restore data that a failed generation has changed, or that a backup replaces";
      wantedBy = [ "sysinit.target" ];
      after = [ "systemd-journald.socket" ];
      before = [ "sysinit.target" "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        RequiresMountsFor = "/var";
        ConditionPathExists = [ "|/var/lib/lichen/state/changes.json" "|/var/lib/lichen/restore" ];
      };
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${lichenctl} restore-state";
        # However much data there are. It ends by itself what stands still.
        TimeoutStartSec = "infinity";
      };
      restartIfChanged = false;
    };

    # A trial boot ends with the blessing or with a reboot. The unit starts early, so that a userspace that hangs is
    # covered, too; and if the program itself is broken or never ends, the generation counts as not healthy.
    systemd.services.lichen-bless = {
      description = "Bless this generation once it is healthy";
      wantedBy = [ "sysinit.target" ];
      wants = [ "boot.mount" ];
      after = [ "boot.mount" "systemd-journald.socket" ];
      before = [ "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        # The boot script gives this argument to a generation that is not blessed yet; after a soft-reboot the boot
        # state tells.
        ConditionKernelCommandLine = "|lichen.trial";
        ConditionPathExists = "|/.booted";
        FailureAction = "reboot";
      };
      serviceConfig = {
        Type = "exec";
        ExecStart = "${lichenctl} bless --wait";
        # At most 600 s more to be confirmed, and a minute to spare.
        RuntimeMaxSec = cfg.healthDeadline + 660;
      };
      restartIfChanged = false;
    };
    systemd.services.lichen-reconcile = {
      description = "Make Nix's system profile agree with what was booted";
      wantedBy = [ "multi-user.target" ];
      after = [ "boot.mount" ];
      unitConfig.RequiresMountsFor = "/nix";
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; ExecStart = "${lichenctl} reconcile"; };
      restartIfChanged = false;
    };

    environment.systemPackages = [ pkgs.lichenctl ];
    # Tools that deploy to NixOS look for this file.
    environment.etc."NIXOS".text = "";

    # lichen.toml on BOOT: read before anything that it may configure.
    systemd.services.lichen-provision = {
      description = "Read lichen.toml";
      wantedBy = [ "sysinit.target" ];
      # Without BOOT there is nothing to read, which is no reason to stop.
      wants = [ "boot.mount" "network-pre.target" ];
      after = [ "boot.mount" "systemd-journald.socket" ];
      before = [
        "sysinit.target" "shutdown.target" "network-pre.target" "systemd-networkd.service" "systemd-hostnamed.service"
        "iwd.service" "ssh.service"
      ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        RequiresMountsFor = "/var";
      };
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${lichenctl} provision";
        # The program itself writes to the console what somebody has to act on.
        TimeoutStartSec = 60;
        UMask = "0077";
      };
      restartIfChanged = false;
    };

    # DATA takes the whole card, before services begin to fill it.
    systemd.services.lichen-grow = {
      description = "Grow DATA to the size of the card";
      wantedBy = [ "sysinit.target" ];
      # Not after local-fs.target, which waits for swap, while swap files wait for this unit. Nor after udev: the
      # kernel's events about the larger partition wait for udev anyway.
      before = [ "sysinit.target" "shutdown.target" "systemd-journal-flush.service" ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        RequiresMountsFor = "/var";
      };
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${lichenctl} grow";
        TimeoutStartSec = 300;
      };
      restartIfChanged = false;
    };

    # The initrd arms the watchdog; systemd takes it over. The Raspberry Pi's watchdog waits for 16 s at
    # most: the kernel feeds it in between (max_hw_heartbeat_ms of bcm2835_wdt), so that a kernel that hangs is reset
    # after those 16 s. systemd does not feed it while it generates and loads units, nor while it is replaced by its
    # successor in a soft-reboot: under emulation, on a busy host, that takes some 10 s, and the last feeding may
    # already be half of runtimeTime ago.
    systemd.watchdog = {
      runtimeTime = mkDefault "30s";
      rebootTime = mkDefault "2min";
    };
    systemd.ctrlAltDelUnit = mkDefault "";
    systemd.settings.Manager = {
      DefaultTimeoutStopSec = mkDefault "30s";
      StatusUnitFormat = mkDefault "name";
    };

    # A panic reboots the device, and the next boot decides what runs; nobody is there to read the screen.
    boot.kernelParams = [
      "panic=10"
      # Huge pages make the kernel keep 45 MB of a small device's memory free for making more of them.
      "transparent_hugepage=never"
    ];
    boot.kernel.sysctl = lib.mapAttrs (_: mkDefault) {
      "kernel.panic" = 10;
      "kernel.panic_on_oops" = 1;
      # Compressed memory is cheap to swap to; a card is slow to write and wears.
      "vm.swappiness" = 60;
      "vm.page-cluster" = 0;
      "vm.dirty_background_bytes" = 4194304;
      "vm.dirty_bytes" = 33554432;
    };
  };
}
