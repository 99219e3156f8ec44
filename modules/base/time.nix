# Clock, time zone and language.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  ntp = config.services.timesyncd;
  tz = config.time.timeZone;
  words = lib.concatStringsSep " ";
  # Each zone that the image has; behind an old name that it does not have, the one of today.
  lines = map (lib.splitString " ") (lib.filter (line: line != "" && !(lib.hasPrefix "#" line))
    (lib.splitString "\n" (builtins.readFile ../../crates/protocol/src/zones.txt)));
  known = map lib.head (lib.filter (line: lib.length line == 1) lines);
  today = lib.concatMap (line: lib.drop 1 line) (lib.filter (line: lib.head line == tz) lines);
  near = if today != [ ] then today else lib.errors.nearest tz known;
in
{
  options = {
    time.timeZone = mkOption {
      type = types.nullOr (types.addCheck types.str (s: !(lib.hasInfix " " s)));
      default = null;
      example = "Europe/Berlin";
      description = "The time zone. null: UTC. {file}`lichen.toml` may give single devices zones of their own.";
    };
    i18n.defaultLocale = mkOption {
      type = types.str;
      default = "C.UTF-8";
      description = "The locale. The image has no other than C.UTF-8.";
    };
    services.timesyncd = {
      enable = mkOption { type = types.bool; default = true; description = "Whether the clock is set over the network."; };
      servers = mkOption {
        type = types.nullOr (types.listOf types.str);
        default = config.networking.timeServers;
        defaultText = lib.literalExpression "config.networking.timeServers";
        description = "The NTP servers. null: those that the network names.";
      };
      fallbackServers = mkOption { type = types.nullOr (types.listOf types.str); default = null; description = "NTP servers for when no other is known."; };
      extraConfig = mkOption { type = types.lines; default = ""; example = "PollIntervalMaxSec=180"; description = "Further lines of {file}`timesyncd.conf`."; };
    };
  };

  config = {
    environment.etc = {
      # If lichen.toml names a zone, `lichenctl provision` replaces these at every boot.
      localtime.source = "/usr/share/zoneinfo/${if tz == null then "UTC" else tz}";
      timezone.text = (if tz == null then "UTC" else tz) + "\n";
      "locale.conf".text = "LANG=${config.i18n.defaultLocale}\n";
      "default/locale".text = "LANG=${config.i18n.defaultLocale}\n";
      "systemd/timesyncd.conf" = mkIf ntp.enable {
        text = "[Time]\n"
          + lib.optionalString (ntp.servers != null) "NTP=${words ntp.servers}\n"
          + lib.optionalString (ntp.fallbackServers != null) "FallbackNTP=${words ntp.fallbackServers}\n"
          + lib.optionalString (ntp.extraConfig != "") (lib.removeSuffix "\n" ntp.extraConfig + "\n");
      };
    };
    systemd.services.systemd-timesyncd =
      if ntp.enable then {
        wantedBy = [ "sysinit.target" ];
        aliases = [ "dbus-org.freedesktop.timesync1.service" ];
        restartTriggers = [ config.environment.etc."systemd/timesyncd.conf".text ];
      } else { enable = false; };
    assertions = [{
      assertion = tz == null || builtins.elem tz known;
      message = "time.timeZone: the image has no time zone `${toString tz}'."
        + lib.optionalString (near != [ ]) " Did you mean ${lib.concatMapStringsSep " or " (n: "`${n}'") near}?";
    } {
      assertion = lib.hasPrefix "C." config.i18n.defaultLocale || config.i18n.defaultLocale == "C";
      message = "i18n.defaultLocale is `${config.i18n.defaultLocale}', but the image has no locale other than C.UTF-8.";
    }];
  };
}
