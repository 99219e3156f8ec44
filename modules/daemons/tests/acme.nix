# Certificates from an authority: what lego is asked, what is there until it has answered, and what is refused.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lego" "lichenctl" "nginx" "openssl" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  terms = { acceptTerms = true; defaults.email = "me@example.org"; };
  eval = page: modules.evalAppliance { inherit pkgs; modules = [{ _file = "appliances/x.nix"; } page]; };
  etc = page: (eval page).config.environment.etc;
  failed = page: map (a: a.message) (eval page).failedAssertions;
  cert = c: { security.acme = terms // { certs."rack.example.org" = c; }; };
  host = h: { security.acme = terms; services.nginx = { enable = true; virtualHosts."rack.example.org" = h; }; };
  lines = what: text: lib.filter (lib.hasPrefix what) (map lib.trim (lib.splitString "\n" text));
  unit = page: (etc page)."systemd/system/acme-rack.example.org.service".text;
  asked = page: lib.head (lines "timeout 600" (etc page)."lichen/scripts/acme-rack.example.org-start".text);
  flags = "/usr/bin/lego --accept-tos --email me@example.org --server https://acme-v02.api.letsencrypt.org/directory --key-type ec256 --path /run/acme-rack.example.org/lego";
  ended = "> $run/log 2>&1 || status=$?";
  current = "/var/lib/acme/rack.example.org/current";
in
{
  "an appliance that does not ask for it has nothing of it" = {
    expr = let it = (eval { }).config; in [ (it.users.users ? acme) (it.environment.etc ? "lichen/certificates.json") it.lichen.selfSignedCertificates ];
    expected = [ false false { } ];
  };
  "it is sound" = {
    expr = map (page: [ (failed page) (eval page).problems ]) [
      (host { enableACME = true; forceSSL = true; })
      (cert { listenHTTP = ":80"; })
      (cert { dnsProvider = "cloudflare"; extraDomainNames = [ "*.rack.example.org" ]; })
    ];
    expected = [ [ [ ] [ ] ] [ [ ] [ ] ] [ [ ] [ ] ] ];
  };
  "lego is asked in the way that the page says" = {
    expr = map (page: lib.replaceStrings [ flags ] [ "LEGO" ] (asked page)) [
      (host { enableACME = true; forceSSL = true; serverAliases = [ "www.example.org" ]; })
      (cert { listenHTTP = ":80"; })
      (cert { dnsProvider = "cloudflare"; dnsResolver = "1.1.1.1:53"; dnsPropagationCheck = false; domain = "*.example.org"; extraLegoFlags = [ "--dns-timeout" "20" ]; extraLegoRunFlags = [ "--preferred-chain" "X" ]; })
    ];
    expected = [
      "timeout 600 LEGO --domains rack.example.org --domains www.example.org --http --http.webroot /run/acme-challenge run ${ended}"
      "timeout 600 LEGO --domains rack.example.org --http --http.port :80 run ${ended}"
      "timeout 600 LEGO --domains '*.example.org' --dns cloudflare --dns.resolvers 1.1.1.1:53 --dns.disable-cp --dns-timeout 20 run --preferred-chain X ${ended}"
    ];
  };
  "until it is there, the device's own certificate is in its place" = {
    expr =
      let it = (eval (host { enableACME = true; addSSL = true; serverAliases = [ "www.example.org" ]; })).config; in [
        (removeAttrs it.lichen.selfSignedCertificates."acme-rack.example.org" [ "days" "file" ])
        (lib.filter (lib.hasInfix "/full.pem") it.systemd.tmpfiles.rules)
        (lib.filter (lib.hasInfix "current") it.systemd.tmpfiles.rules)
        (lines "ssl_certificate" it.environment.etc."nginx/nginx.conf".text)
        it.systemd.services.nginx.serviceConfig.SupplementaryGroups
        (lib.head it.systemd.services.nginx.serviceConfig.ExecReload)
      ];
    expected = [
      { group = "acme"; names = [ "rack.example.org" "www.example.org" ]; unit = "nginx.service"; }
      [ "L /var/lib/acme/rack.example.org/none/full.pem - - - - /var/lib/self-signed/acme-rack.example.org.pem" ]
      [ "L ${current} - - - - none" ]
      [ "ssl_certificate ${current}/full.pem;" "ssl_certificate_key ${current}/full.pem;" ]
      [ "acme" ]
      "+/usr/bin/systemctl start self-signed-acme-rack.example.org.service"
    ];
  };
  "nginx answers the authority, whatever else the host does" = {
    expr = map
      (h: lib.length (lines "location ^~ /.well-known/acme-challenge/ {" (etc (host h))."nginx/nginx.conf".text))
      [ { enableACME = true; forceSSL = true; } { enableACME = true; addSSL = true; } { enableACME = true; forceSSL = true; acmeRoot = null; } { forceSSL = true; } ];
    expected = [ 1 1 0 0 ];
  };
  "one certificate serves several hosts" = {
    expr =
      let
        page = { security.acme = terms // { certs.all = { domain = "*.example.org"; dnsProvider = "rfc2136"; }; }; services.nginx = { enable = true; virtualHosts = lib.genAttrs [ "a.example.org" "b.example.org" ] (_: { forceSSL = true; useACMEHost = "all"; }); }; };
        it = (eval page).config;
      in
      [ (failed page) (lib.unique (lines "ssl_certificate " it.environment.etc."nginx/nginx.conf".text)) (lib.unique it.security.acme.certs.all.reloadServices) ];
    expected = [ [ ] [ "ssl_certificate /var/lib/acme/all/current/full.pem;" ] [ "nginx.service" ] ];
  };
  "what it could not do is no failed unit, and it may do little" = {
    expr = lib.concatMap (what: lines what (unit (cert { listenHTTP = ":80"; group = "mail"; })))
      [ "SuccessExitStatus" "User" "Group" "StateDirectory=" "RuntimeDirectory=" "AmbientCapabilities" "ExecStartPost" ]
    ++ lines "AmbientCapabilities" (unit (host { enableACME = true; addSSL = true; }));
    expected = [
      "SuccessExitStatus=75" "User=acme" "Group=mail" "StateDirectory=acme/rack.example.org" "RuntimeDirectory=acme-rack.example.org"
      "AmbientCapabilities=CAP_NET_BIND_SERVICE" "ExecStartPost=+/etc/lichen/scripts/acme-rack.example.org-renewed"
    ];
  };
  "secrets of a provider are credentials" = {
    expr = let it = unit (cert { dnsProvider = "x"; credentialFiles.X_TOKEN_FILE = "/run/credstore/acme.x"; environmentFile = "/run/credstore/acme.env"; }); in
      lib.concatMap (what: lines what it) [ "LoadCredential" "Environment=\"X" "EnvironmentFile" ];
    expected = [ "LoadCredential=X_TOKEN_FILE:/run/credstore/acme.x" "Environment=\"X_TOKEN_FILE=%d/X_TOKEN_FILE\"" "EnvironmentFile=/run/credstore/acme.env" ];
  };
  "services that are not nginx's hear of it, too" = {
    expr = lib.filter (l: lib.hasPrefix "systemctl" l || l == "cp full.pem /srv")
      (lib.splitString "\n" (etc (cert { listenHTTP = ":80"; reloadServices = [ "mail.service" ]; postRun = "cp full.pem /srv"; }))."lichen/scripts/acme-rack.example.org-renewed".text);
    expected = [ "systemctl --no-block try-reload-or-restart mail.service || echo 'mail.service goes on with the old certificate'" "cp full.pem /srv" ];
  };
  "a renewal waits for a time of its own; the first one does not" = {
    expr = map (name: lib.last (lib.splitString "[Timer]\n" (etc (cert { listenHTTP = ":80"; }))."systemd/system/acme-rack.example.org${name}.timer".text)) [ "" "-first" ];
    expected = [ "OnCalendar=hourly\nRandomizedDelaySec=30min\n" "OnActiveSec=5s\nOnClockChange=true\nUnit=acme-rack.example.org.service\n" ];
  };
  "a device that does not set its clock does not wait for that" = {
    expr = map (enable: lib.hasInfix "timesync" (etc ({ services.timesyncd = { inherit enable; }; } // cert { listenHTTP = ":80"; }))."lichen/scripts/acme-rack.example.org-start".text) [ true false ];
    expected = [ true false ];
  };
  "what cannot work is refused" = {
    expr = map (page: lib.head (failed page)) [
      { security.acme = { defaults.email = "me@example.org"; certs.a.listenHTTP = ":80"; }; }
      { security.acme = { acceptTerms = true; certs.a.listenHTTP = ":80"; }; }
      (cert { })
      (cert { webroot = "/srv"; dnsProvider = "x"; })
      (cert { webroot = "/srv"; domain = "*.example.org"; })
      { security.acme = terms // { certs."a b".listenHTTP = ":80"; }; }
      (host { enableACME = true; useACMEHost = "rack.example.org"; addSSL = true; })
      (host { enableACME = true; addSSL = true; sslCertificate = "/var/a"; sslCertificateKey = "/var/a"; })
      (host { enableACME = true; onlySSL = true; })
      (host { useACMEHost = "nobody"; addSSL = true; })
    ];
    expected = [
      "security.acme.acceptTerms: you must accept the authority's terms, https://letsencrypt.org/repository/, to get certificates from it."
      "security.acme.certs.a.email must be set, or security.acme.defaults.email: lego has no account without it."
      "security.acme.certs.rack.example.org: exactly one of webroot, listenHTTP and dnsProvider has to be set."
      "security.acme.certs.rack.example.org: exactly one of webroot, listenHTTP and dnsProvider has to be set."
      "security.acme.certs.rack.example.org: an authority gives certificates for all names of a domain only over dnsProvider."
      "security.acme.certs.a b: names of certificates are letters, digits, `-', `_' and `.'; `domain' may be another one."
      "services.nginx.virtualHosts.rack.example.org: only one of enableACME and useACMEHost can be set."
      "services.nginx.virtualHosts.rack.example.org: sslCertificate is another certificate than that of enableACME or useACMEHost."
      "services.nginx.virtualHosts.rack.example.org.enableACME: the authority asks on port 80, so write forceSSL or addSSL in place of onlySSL."
      "security.acme.certs.nobody: exactly one of webroot, listenHTTP and dnsProvider has to be set."
    ];
  };
  "what is not offered says why" = {
    expr = map (page: lib.head (failed page)) [
      { security.acme.useRoot = true; }
      (cert { listenHTTP = ":80"; csr = "/a"; })
      { security.acme = terms // { defaults = { email = "me@example.org"; ocspMustStaple = true; }; certs.a.listenHTTP = ":80"; }; }
      (host { addSSL = true; acmeFallbackHost = "b"; })
    ];
    expected = [
      "security.acme.useRoot is not offered: lego runs as the user acme."
      "security.acme.certs.rack.example.org.csr is not offered: lego makes the request, with a new key each time."
      "security.acme.defaults.ocspMustStaple is not offered: Let's Encrypt no longer answers OCSP."
      "services.nginx.virtualHosts.rack.example.org.acmeFallbackHost is not offered: the device that has the certificate answers for it."
    ];
  };
}
