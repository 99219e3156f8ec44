# One program on the screen, in the Wayland compositor cage. The options and the unit's name are those of NixOS; but
# here seatd provides the seat, so that all processes stay in the unit and within its limits. logind would move them out.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.cage;
in
{
  options.services.cage = {
    enable = mkEnableOption "one program, full-screen, on the attached display";
    user = mkOption { type = types.str; default = "demo"; description = "The user that the program runs as."; };
    program = mkOption { type = types.path; example = "/etc/kiosk"; description = "The program, with arguments as in {manpage}`systemd.service(5)` if it takes any."; };
    extraArguments = mkOption { type = types.listOf types.str; default = [ ]; example = [ "-d" ]; description = "Arguments of cage itself."; };
    environment = mkOption { type = types.attrsOf types.str; default = { }; example = { WLR_LIBINPUT_NO_DEVICES = "1"; }; description = "Further environment variables of the program and of cage."; };
  };

  config = mkIf cfg.enable {
    # Keyboard layouts, graphics drivers, a typeface.
    environment.systemPackages = [ pkgs.xkb-data pkgs.libgl1-mesa-dri pkgs.fonts-dejavu-core pkgs.seatd ];

    systemd.services.cage-tty1 = {
      description = "One program on the screen";
      wantedBy = [ "multi-user.target" ];
      requires = [ "seatd.service" ];
      after = [ "seatd.service" "systemd-user-sessions.service" "getty@tty1.service" ];
      conflicts = [ "getty@tty1.service" ];
      startLimitIntervalSec = 0; # a wall that stays dark is worse than a restart too many
      # Without a display there is nothing to do; the rule below starts it when there is one.
      unitConfig.ConditionPathExistsGlob = "/dev/dri/card*";
      environment = {
        XDG_RUNTIME_DIR = "/run/cage";
        XDG_SESSION_TYPE = "wayland";
        HOME = "/run/cage";
        LIBSEAT_BACKEND = "seatd";
        # A wall has neither keyboard nor mouse.
        WLR_LIBINPUT_NO_DEVICES = "1";
      } // cfg.environment;
      serviceConfig = {
        ExecStart = "${pkgs.cage}/bin/cage ${lib.escapeShellArgs cfg.extraArguments} -- ${cfg.program}";
        User = cfg.user;
        SupplementaryGroups = [ "video" "render" ];
        RuntimeDirectory = "cage";
        RuntimeDirectoryMode = "0700";
        Restart = "always";
        RestartSec = "1s";
        RestartSteps = 6;
        RestartMaxDelaySec = "60s";
        # A device whose screen fails is healthy otherwise, so the unit never counts as failed, only as about to restart.
        RestartMode = "direct";
      };
    };
    services.udev.extraRules = ''
      SUBSYSTEM=="drm", KERNEL=="card[0-9]*", TAG+="systemd", ENV{SYSTEMD_WANTS}+="cage-tty1.service"
    '';

    systemd.services.seatd = {
      overrideStrategy = "asDropin";
      serviceConfig = import ../services/common/restrained.nix // {
        CapabilityBoundingSet = [ "CAP_SYS_ADMIN" "CAP_SYS_TTY_CONFIG" "CAP_DAC_OVERRIDE" "CAP_CHOWN" ];
        PrivateNetwork = true;
        ProtectSystem = "full";
        RestrictAddressFamilies = "AF_UNIX";
      };
    };
  };
}
