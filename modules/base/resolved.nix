# Name resolution, through systemd-resolved.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.services.resolved;
  words = lib.concatStringsSep " ";
in
{
  options.services.resolved = {
    enable = mkOption { type = types.bool; default = true; description = "Whether systemd-resolved resolves names."; };
    fallbackDns = mkOption { type = types.nullOr (types.listOf types.str); default = [ ]; example = [ "9.9.9.9" ]; description = "DNS servers for when no other is known. null means systemd's own list. There are none by default, so that an appliance asks only servers that its owner named."; };
    domains = mkOption { type = types.listOf types.str; default = config.networking.search; defaultText = lib.literalExpression "config.networking.search"; example = [ "example.com" ]; description = "Domains in which short names are looked up."; };
    llmnr = mkOption { type = types.enum [ "true" "resolve" "false" ]; default = "false"; description = "Whether names are answered and looked up by LLMNR."; };
    dnssec = mkOption { type = types.enum [ "true" "allow-downgrade" "false" ]; default = "false"; description = "Whether answers are validated."; };
    dnsovertls = mkOption { type = types.enum [ "true" "opportunistic" "false" ]; default = "false"; description = "Whether DNS servers are asked over TLS."; };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of {file}`resolved.conf`."; };
  };

  config = mkIf cfg.enable {
    environment.etc = {
      "resolv.conf".source = "/run/systemd/resolve/stub-resolv.conf";
      "systemd/resolved.conf".text = "[Resolve]\n"
        + lib.optionalString (config.networking.nameservers != [ ]) "DNS=${words config.networking.nameservers}\n"
        + lib.optionalString (cfg.fallbackDns != null) "FallbackDNS=${words cfg.fallbackDns}\n"
        + lib.optionalString (cfg.domains != [ ]) "Domains=${words cfg.domains}\n"
        + "LLMNR=${cfg.llmnr}\nDNSSEC=${cfg.dnssec}\nDNSOverTLS=${cfg.dnsovertls}\nMulticastDNS=no\n"
        + lib.optionalString (cfg.extraConfig != "") (lib.removeSuffix "\n" cfg.extraConfig + "\n");
      # Debian turns multicast DNS off in a file of this name below /usr/lib, which counts more than resolved.conf.
      "systemd/resolved.conf.d/00-disable-mdns.conf" = mkIf config.lichen.localName { text = "[Resolve]\nMulticastDNS=yes\n"; };
    };
    systemd.services.systemd-resolved = {
      wantedBy = [ "sysinit.target" ];
      aliases = [ "dbus-org.freedesktop.resolve1.service" ];
      restartTriggers = [ config.environment.etc."systemd/resolved.conf".text (lib.boolToString config.lichen.localName) ];
    };
  };
}
