# Lichen's own part: the units of lichenctl, and defaults for devices that nobody looks after.
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
        What has to be so for a generation to be healthy, by name, besides that no unit is failed. A generation that
        is not healthy in time is left for the one that was there before.
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
        Services whose data are protected, by the name of their unit. Where a new generation has another
        {option}`version` of them, they are copied before it runs, and restored if it is not there to stay.
      '';
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          version = mkOption { type = types.str; example = "2"; description = "The version of the data: one that another version of the service may not be able to read is another."; };
          directory = mkOption { type = types.str; default = "/var/lib/${name}"; description = "Where the data are."; };
          user = mkOption { type = types.str; default = name; description = "Whose they are, with a group of the same name."; };
          backup = mkOption { type = types.str; example = "notes backup -"; description = "Shell command that writes a copy to stdout while the service runs."; };
          restore = mkOption { type = types.str; example = "notes restore --into \"$DIRECTORY\" /dev/stdin"; description = "Shell command that makes the data anew in the empty folder {env}`DIRECTORY` from a copy on stdin, which is a file."; };
        };
      }));
    };
    softReboot = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether this generation may be gone to by a soft-reboot, where the kernel stays and a live switch does not
        suffice. It takes seconds; otherwise the device is rebooted.
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
    # By hand (`systemctl soft-reboot`) userspace would start over in a root whose mounts were taken from it, and let
    # nobody in. lichenctl assembles one first.
    systemd.targets.soft-reboot.unitConfig.RefuseManualStart = true;
    systemd.targets.lichen-soft-reboot = {
      description = "Soft-reboot into the root that lichenctl has assembled";
      requires = [ "soft-reboot.target" ];
      after = [ "soft-reboot.target" ];
      unitConfig.DefaultDependencies = false;
    };
    # After a soft-reboot, before anything asks what runs.
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
    # Before any service gets at its data.
    systemd.services.lichen-restore-state = {
      description = "Restore data that a failed generation has changed";
      wantedBy = [ "sysinit.target" ];
      after = [ "systemd-journald.socket" ];
      before = [ "sysinit.target" "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        RequiresMountsFor = "/var";
        ConditionPathExists = "/var/lib/lichen/state/changes.json";
      };
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${lichenctl} restore-state";
        TimeoutStartSec = 660;
      };
      restartIfChanged = false;
    };

    # A trial boot is blessed or rebooted; from early on, so that a userspace that hangs is no way out. That the
    # program itself is broken, or never ends, counts as not healthy.
    systemd.services.lichen-bless = {
      description = "Bless this generation once it is healthy";
      wantedBy = [ "sysinit.target" ];
      wants = [ "boot.mount" ];
      after = [ "boot.mount" "systemd-journald.socket" ];
      before = [ "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        # The boot script says so to a generation that is not blessed yet; after a soft-reboot the state does.
        ConditionKernelCommandLine = "|lichen.trial";
        ConditionPathExists = "|/.booted";
        FailureAction = "reboot";
      };
      serviceConfig = {
        Type = "exec";
        ExecStart = "${lichenctl} bless --wait";
        # Another 600 s to be confirmed, at most.
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
    # Tools that deliver to NixOS look for it.
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
        # What someone has to act on it writes to the console itself.
        TimeoutStartSec = 60;
        UMask = "0077";
      };
      restartIfChanged = false;
    };

    # DATA takes the whole card, before services begin to fill it.
    systemd.services.lichen-grow = {
      description = "Grow DATA to the size of the card";
      wantedBy = [ "sysinit.target" ];
      # Not after local-fs.target: that waits for swap, and swap files wait for this. Nor after udev: what the kernel
      # says of the larger partition waits for it.
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

    # The initrd arms the watchdog; systemd takes it over. The Raspberry Pi's can do 16 s at most: the kernel feeds it
    # in between (max_hw_heartbeat_ms of bcm2835_wdt), so that a kernel that hangs is reset after those. systemd itself
    # feeds it neither while it generates and loads units nor while it makes way for its successor in a soft-reboot:
    # under emulation, on a busy host, that is some 10 s, on top of up to half of its patience since the last time.
    systemd.watchdog = {
      runtimeTime = mkDefault "30s";
      rebootTime = mkDefault "2min";
    };
    systemd.ctrlAltDelUnit = mkDefault "";
    systemd.settings.Manager = {
      DefaultTimeoutStopSec = mkDefault "30s";
      StatusUnitFormat = mkDefault "name";
    };

    # A panic is a reboot, and the next boot decides; nobody is there to read the screen.
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
