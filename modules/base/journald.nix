# The journal: kept, but within limits, and written in large strokes that spare the card.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.journald;
in
{
  options.services.journald = {
    storage = mkOption { type = types.enum [ "persistent" "volatile" "auto" "none" ]; default = "persistent"; description = "Where the journal is kept."; };
    console = mkOption { type = types.str; default = ""; example = "/dev/tty12"; description = "A terminal that shows all messages; empty for none."; };
    forwardToSyslog = mkOption { type = types.bool; default = false; description = "Whether messages are forwarded to a syslog daemon."; };
    rateLimitInterval = mkOption { type = types.str; default = "30s"; description = "The period of `rateLimitBurst`."; };
    rateLimitBurst = mkOption { type = types.int; default = 10000; description = "How many messages a service may log in that period; more are dropped and counted."; };
    audit = mkOption { type = types.nullOr (types.either types.bool (types.enum [ "keep" ])); default = null; description = "Whether kernel auditing is turned on; `keep` leaves it as it is."; };
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "SystemMaxUse=200M";
      description = ''
        Further lines of {file}`journald.conf`. They override Lichen's: at most 64 MiB and 30 days are kept, and
        messages are written every 5 minutes (severe ones at once), or every 15 seconds where
        {option}`services.courier.loki.url` has them sent away.
      '';
    };
  };

  config = {
    environment.etc."systemd/journald.conf".text = ''
      [Journal]
      Storage=${cfg.storage}
      RateLimitIntervalSec=${cfg.rateLimitInterval}
      RateLimitBurst=${toString cfg.rateLimitBurst}
      SystemMaxUse=64M
      SystemMaxFileSize=8M
      RuntimeMaxUse=16M
      MaxRetentionSec=30day
      SyncIntervalSec=5min
      ForwardToSyslog=${lib.boolToYesNo cfg.forwardToSyslog}
    '' + lib.optionalString (cfg.console != "") ''
      ForwardToConsole=yes
      TTYPath=${cfg.console}
    '' + lib.optionalString (cfg.audit != null) "Audit=${if builtins.isBool cfg.audit then lib.boolToYesNo cfg.audit else cfg.audit}\n"
    + lib.optionalString (cfg.extraConfig != "") (lib.removeSuffix "\n" cfg.extraConfig + "\n");

    systemd.services.systemd-journald.restartTriggers = [ config.environment.etc."systemd/journald.conf".text ];
  };
}
