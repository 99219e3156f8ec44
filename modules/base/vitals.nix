# What the device knows of itself, as metrics, every minute: docs/how-it-works/health.md has the list. The services of this
# project pass them on with their own.
{ pkgs, ... }: {
  # Its name must not begin with lichen-: a switch leaves those units alone, but has to start this timer.
  systemd.services.lichenctl-vitals = {
    description = "Tell what the device knows of itself";
    serviceConfig = {
      Type = "oneshot";
      ExecStart = "${pkgs.lichenctl}/bin/lichenctl vitals";
      # That it starts and ends would be two lines in the journal, on the card, every minute.
      LogLevelMax = "notice";
      SyslogLevel = "err"; # it says something only when it fails
      # A failure is in the journal, and seen by the metrics that are missing then. It is no fault of a generation.
      SuccessExitStatus = 1;
      TimeoutStartSec = 30;
      Nice = 10;
      LockPersonality = true;
      MemoryDenyWriteExecute = true;
      NoNewPrivileges = true;
      RestrictAddressFamilies = "AF_UNIX";
      RestrictRealtime = true;
      SystemCallArchitectures = "native";
    };
    restartIfChanged = false;
  };
  systemd.timers.lichenctl-vitals = {
    description = "Every minute";
    wantedBy = [ "timers.target" ];
    timerConfig = { OnBootSec = "20s"; OnUnitActiveSec = "1min"; AccuracySec = "10s"; };
  };
}
