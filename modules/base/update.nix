# Automatic updates: the device follows a signed channel on a binary cache. `lichenctl update` does the work.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.lichen.autoUpdate;
  window = cfg.window;
  service = "lichenctl-update";

  time = types.strMatching "([01][0-9]|2[0-3]):[0-5][0-9]";
  timeOfDay = description: mkOption { type = time; example = "02:00"; inherit description; };
  number = text: lib.toInt (if lib.hasPrefix "0" text then builtins.substring 1 1 text else text);
  minutes = text: number (builtins.substring 0 2 text) * 60 + number (builtins.substring 3 2 text);
  length = let span = minutes window.to - minutes window.from; in if span < 0 then span + 24 * 60 else span;
in
{
  options.services.lichen.autoUpdate = {
    enable = mkEnableOption "updates by following a channel that `lichen publish` wrote";
    url = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "https://updates.example.org/lichen";
      description = "The address of the binary cache that the channel is on, over HTTPS or HTTP: everything is signed.";
    };
    channel = mkOption {
      type = types.strMatching "[a-z0-9][a-z0-9._-]*";
      default = "stable";
      description = "The channel to follow.";
    };
    dates = mkOption {
      type = types.either types.str (types.listOf types.str);
      default = "daily";
      example = "Mon *-*-* 03:00:00";
      description = "When to look for updates, in the words of {manpage}`systemd.time(7)`. If the device was off at that time, it looks after its start.";
    };
    randomizedDelaySec = mkOption {
      type = types.str;
      default = "1h";
      description = "By how much this may be delayed, by a different time on each device, so that not all devices look at once.";
    };
    window = mkOption {
      type = types.nullOr (types.submodule { options = { from = timeOfDay "Its first minute."; to = timeOfDay "The minute after its last."; }; });
      default = null;
      example = { from = "02:00"; to = "04:00"; };
      description = ''
        The maintenance window, by the time zone of the device. An update that is found outside of it is staged, and
        switched to within it. null: at any time.
      '';
    };
    rebootAllowed = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the device reboots, or soft-reboots, for an update that can't be switched to live, such as another
        kernel or message bus. If not, the next reboot, whoever asks for it, is into the new generation.
      '';
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.url != null && builtins.match "https?://.+" cfg.url != null;
        message = "services.lichen.autoUpdate.url must be an address that begins with https:// or http://.";
      }
      {
        assertion = config.nix.settings.trusted-public-keys != [ ];
        message = "services.lichen.autoUpdate follows signed channels only: nix.settings.trusted-public-keys must name the key that `lichen publish` signs with.";
      }
      {
        assertion = config.nix.settings.require-sigs;
        message = "services.lichen.autoUpdate follows signed channels only: nix.settings.require-sigs must not be false.";
      }
      {
        assertion = window == null || window.from != window.to;
        message = "services.lichen.autoUpdate.window is empty: it is from ${window.from} to ${window.to}.";
      }
    ];

    environment.etc."lichen/update.json".text = builtins.toJSON {
      inherit (cfg) url channel;
      window = if window == null then null else { inherit (window) from to; };
      reboot = cfg.rebootAllowed;
    };

    # Its name must not begin with lichen-: a switch leaves those units alone, but has to start and change timers.
    systemd.services.${service} = {
      description = "Follow the channel of this appliance";
      after = [ "network.target" "network-online.target" "lichen-register.service" "lichen-reconcile.service" ];
      # The unit itself makes the switch, which therefore must not restart or stop it.
      restartIfChanged = false;
      unitConfig.X-StopOnRemoval = false;
      serviceConfig = {
        Type = "oneshot";
        ExecStart = "${pkgs.lichenctl}/bin/lichenctl update";
        # That the server can't be reached, or that an update was refused, is in the journal and in `lichenctl status`.
        # The unit must not fail then, which would make a generation on trial unhealthy.
        SuccessExitStatus = "1 4";
        # A slow line may need hours, and what has arrived is kept; but the job must end at some time.
        TimeoutStartSec = "12h";
        Nice = 10;
        IOSchedulingClass = "idle";
        # It does what root does by hand, mounting and restarting included, so that few permissions can be removed.
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        NoNewPrivileges = true;
        RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_NETLINK" "AF_UNIX" ];
        RestrictRealtime = true;
        SystemCallArchitectures = "native";
      };
    };
    systemd.timers.${service} = {
      description = "Look for updates";
      wantedBy = [ "timers.target" ];
      timerConfig = { OnCalendar = cfg.dates; RandomizedDelaySec = cfg.randomizedDelaySec; Persistent = true; };
    };
    # The device switches to what is staged by then.
    systemd.timers."${service}-window" = mkIf (window != null) {
      description = "The maintenance window opens";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = "*-*-* ${window.from}:00";
        RandomizedDelaySec = "${toString (length / 2)}min";
        Unit = "${service}.service";
      };
    };
  };
}
