# Lichen's own part: the units of lichenctl, and defaults for devices that nobody looks after.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault;
  lichenctl = "${pkgs.lichenctl}/bin/lichenctl";
in
{
  config = {
    environment.systemPackages = [ pkgs.lichenctl ];
    # Tools that deliver to NixOS look for it.
    environment.etc."NIXOS".text = "";

    # lichen.toml on BOOT: read before anything that it may configure.
    systemd.services.lichen-provision = {
      description = "Read lichen.toml";
      wantedBy = [ "sysinit.target" ];
      # Without BOOT there is nothing to read, which is no reason to stop.
      wants = [ "boot.mount" "network-pre.target" ];
      after = [ "boot.mount" "local-fs.target" "systemd-journald.socket" ];
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
      # Not after local-fs.target: that waits for swap, and swap files wait for this.
      after = [ "systemd-udevd.service" ];
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

    # The initrd arms the watchdog; systemd takes it over. 15 s is what the Raspberry Pi's can do at most.
    systemd.watchdog = {
      runtimeTime = mkDefault "15s";
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
