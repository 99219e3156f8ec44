# What becomes of certificates that the device signs itself.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "openssl" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = certificates: (modules.evalAppliance { inherit pkgs; modules = [ { _file = "appliances/x.nix"; lichen.selfSignedCertificates = certificates; } ]; });
  web = { group = "users"; names = [ "rack.example.org" ]; unit = "nginx.service"; };
  etc = (eval { inherit web; }).config.environment.etc;
in
{
  "an appliance that wants none has nothing of them" = {
    expr = lib.filter (lib.hasInfix "self-signed") (lib.attrNames (eval { }).config.environment.etc);
    expected = [ ];
  };
  "it is made before the unit that needs it, which brings it along" = {
    expr = [
      (lib.filter (lib.hasPrefix "Before=") (lib.splitString "\n" etc."systemd/system/self-signed-web.service".text))
      etc."systemd/system/nginx.service.wants/self-signed-web.service".source
    ];
    expected = [ [ "Before=nginx.service" ] "/etc/systemd/system/self-signed-web.service" ];
  };
  "it is for the names of the page and of the device" = {
    expr = lib.filter (lib.hasPrefix "names=") (lib.splitString "\n" etc."lichen/scripts/self-signed-web-start".text);
    expected = [ "names=DNS:$host,DNS:$host.local,DNS:localhost,DNS:rack.example.org" ];
  };
  "one that has not begun yet is made anew: the clock was wrong" = {
    expr = lib.filter (lib.hasInfix "-startdate") (lib.splitString "\n" etc."lichen/scripts/self-signed-web-start".text);
    expected = [ "  && [ $(date -d \"$(openssl x509 -in $file -noout -startdate | cut -d = -f 2)\" +%s) -le $(date +%s) ] \\" ];
  };
  "it vouches for this server, and for no other certificate" = {
    expr = map (what: lib.hasInfix "-addext ${what} " etc."lichen/scripts/self-signed-web-start".text) [ "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth" ];
    expected = [ true true true ];
  };
  "it is looked at every day, and when the clock is set" = {
    expr = lib.filter (lib.hasPrefix "On") (lib.splitString "\n" etc."systemd/system/self-signed-web.timer".text);
    expected = [ "OnCalendar=daily" "OnClockChange=true" ];
  };
  "where it is, other options may say" = { expr = (eval { inherit web; }).config.lichen.selfSignedCertificates.web.file; expected = "/var/lib/self-signed/web.pem"; };
  "more days than browsers accept are refused" = {
    expr = (eval { web = web // { days = 900; }; }).problems;
    expected = [ "A definition for option `lichen.selfSignedCertificates.web.days' is not of type `integer between 2 and 825 (both inclusive)'. Defined as 900 in appliances/x.nix." ];
  };
}
