# What nginx's options become, and which are refused.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "nginx" "openssl" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = nginx: modules.evalAppliance { inherit pkgs; modules = [ { _file = "appliances/x.nix"; services.nginx = nginx; } ]; };
  config = nginx: (eval ({ enable = true; } // nginx)).config;
  conf = nginx: (config nginx).environment.etc."nginx/nginx.conf".text;
  lines = nginx: map lib.trim (lib.splitString "\n" (conf nginx));
  linesWith = what: nginx: lib.filter (lib.hasInfix what) (lines nginx);
  # The servers of nginx.conf, each with its lines.
  servers = nginx: map (text: map lib.trim (lib.filter (l: l != "") (lib.splitString "\n" (lib.head (lib.splitString "\n  }\n" text)))))
    (lib.tail (lib.splitString "\n  server {\n" (conf nginx)));
  failed = nginx: map (a: a.message) (eval ({ enable = true; } // nginx)).failedAssertions;
  # What its health check asks.
  asked = nginx: let it = (config nginx).lichen.healthChecks.nginx; in if it.unit != null then it.unit else lib.last (lib.splitString "-m 8 " (lib.head (lib.splitString ";" it.command)));
in
{
  "an appliance that does not ask for it has nothing of it" = {
    expr = let it = (eval { }).config; in [ (it.systemd.services ? nginx) (it.users.users ? nginx) it.lichen.selfSignedCertificates ];
    expected = [ false false { } ];
  };
  "it is sound" = { expr = [ (failed { }) (eval { enable = true; virtualHosts.a.forceSSL = true; }).problems ]; expected = [ [ ] [ ] ]; };
  "a host passes requests on" = {
    expr = servers { virtualHosts."rack.example.org" = { serverAliases = [ "rack" ]; locations."/".proxyPass = "http://127.0.0.1:3000"; extraConfig = "autoindex on;"; }; };
    expected = [ [ "listen 0.0.0.0:80;" "listen [::0]:80;" "server_name rack.example.org rack;" "location / {" "proxy_pass http://127.0.0.1:3000;" "}" "autoindex on;" ] ];
  };
  "one that wants TLS sends who comes without it there, with a certificate that the device makes" = {
    expr = servers { virtualHosts.a = { forceSSL = true; default = true; root = "/srv"; }; };
    expected = [
      [ "listen 0.0.0.0:80 default_server;" "listen [::0]:80 default_server;" "server_name a;" "location / {" "return 301 https://$host$request_uri;" "}" ]
      [
        "listen 0.0.0.0:443 default_server ssl;" "listen [::0]:443 default_server ssl;" "server_name a;" "http2 on;"
        "ssl_certificate /var/lib/self-signed/nginx-a.pem;" "ssl_certificate_key /var/lib/self-signed/nginx-a.pem;" "root /srv;"
      ]
    ];
  };
  "that certificate is for the names of the host, and nginx reads it" = {
    expr = let it = (config { virtualHosts.a = { onlySSL = true; serverName = "rack.example.org"; serverAliases = [ "*.example.org" "~^x" ]; }; }).lichen.selfSignedCertificates.nginx-a; in [ it.names it.group it.unit ];
    expected = [ [ "rack.example.org" "*.example.org" ] "nginx" "nginx.service" ];
  };
  "a host with a certificate of its own needs none" = {
    expr = let host = { addSSL = true; sslCertificate = "/var/a.crt"; sslCertificateKey = "/var/a.key"; }; in
      [ (config { virtualHosts.a = host; }).lichen.selfSignedCertificates (linesWith "ssl_certificate" { virtualHosts.a = host; }) ];
    expected = [ { } [ "ssl_certificate /var/a.crt;" "ssl_certificate_key /var/a.key;" ] ];
  };
  "locations are in the order of their priority" = {
    expr = linesWith "location" { virtualHosts.a.locations = { "/a".return = 404; "/b" = { return = "204"; priority = 100; }; }; };
    expected = [ "location /b {" "location /a {" ];
  };
  "upstreams list their servers, with parameters" = {
    expr = lib.hasInfix (lib.concatLines [ "  upstream app {" "    server 10.0.0.1:80 weight=2;" "    server 10.0.0.2:80 backup;" "    keepalive 8;" "  }" ])
      (conf { upstreams.app = { servers = { "10.0.0.1:80" = { weight = 2; }; "10.0.0.2:80".backup = true; }; extraConfig = "keepalive 8;"; }; });
    expected = true;
  };
  "a location gets the recommended headers if they are wanted for all, or for it" = {
    expr = map (nginx: lib.length (linesWith "proxy_set_header Host " nginx)) [
      { virtualHosts.a.locations."/".proxyPass = "http://b"; }
      { virtualHosts.a.locations."/" = { proxyPass = "http://b"; recommendedProxySettings = true; }; }
      { recommendedProxySettings = true; virtualHosts.a.locations."/" = { proxyPass = "http://b"; recommendedProxySettings = false; }; }
    ];
    expected = [ 0 1 1 ];
  };
  "the status page takes nothing from the hosts" = {
    expr = linesWith "listen " { statusPage = true; defaultListenAddresses = [ "0.0.0.0" ]; virtualHosts.a = { }; };
    expected = [ "listen 0.0.0.0:80;" "listen 0.0.0.0:80;" ];
  };
  "nothing is written about a request unless the page says so" = {
    expr = map (linesWith "access_log") [ { } { commonHttpConfig = "access_log syslog:server=unix:/dev/log;"; } ];
    expected = [ [ "access_log off;" ] [ "access_log syslog:server=unix:/dev/log;" ] ];
  };
  "passwords are files that only nginx reads" = {
    expr = let it = (config { virtualHosts.a.locations."/x".basicAuth.me = "secret"; }).environment.etc; of = lib.filterAttrs (name: _: lib.hasPrefix "nginx/passwords/" name) it; in
      lib.mapAttrsToList (_: file: [ file.text file.mode file.group ]) of;
    expected = [ [ "me:{PLAIN}secret\n" "0640" "nginx" ] ];
  };
  "whom one place lets in, no other does, however alike their names are" = {
    expr =
      let
        passwords = user: { basicAuth.${user} = "x"; };
        page.virtualHosts = {
          rack.locations = { "/x" = passwords "alice"; "~ /x" = passwords "bob"; "^~ /x" = passwords "carol"; };
          rack-x = passwords "dave";
        };
        it = (config page).environment.etc;
        # Of each place, who is in the file that nginx.conf names there.
        files = map (line: lib.removeSuffix ";" (lib.last (lib.splitString " " line))) (linesWith "auth_basic_user_file" page);
      in
      lib.sort lib.lessThan (map (file: lib.head (lib.splitString ":" it.${lib.removePrefix "/etc/" file}.text)) files);
    expected = [ "alice" "bob" "carol" "dave" ];
  };
  "a host whose name is no name of a file has a certificate of its own, too" = {
    expr = lib.length (lib.unique (linesWith "ssl_certificate " { virtualHosts = lib.genAttrs [ "a b" "a~b" "a-b" ] (_: { onlySSL = true; }); }));
    expected = 3;
  };
  "another host reloads nginx, and does not restart it" = {
    expr =
      let triggers = what: nginx: lib.filter (lib.hasInfix "X-${what}-Triggers") (lib.splitString "\n" (config nginx).environment.etc."systemd/system/nginx.service".text); in
      [ (triggers "Restart" { virtualHosts.a = { }; } == triggers "Restart" { }) (triggers "Reload" { virtualHosts.a = { }; } == triggers "Reload" { }) ];
    expected = [ true false ];
  };
  "a reload begins with the certificates of new hosts" = {
    expr = lib.filter (lib.hasPrefix "ExecReload=") (lib.splitString "\n" (config { virtualHosts.a.addSSL = true; }).environment.etc."systemd/system/nginx.service".text);
    expected = [ "ExecReload=+/usr/bin/systemctl start self-signed-nginx-a.service" "ExecReload=/usr/sbin/nginx -t -q" "ExecReload=/bin/kill -HUP $MAINPID" ];
  };
  "its health is asked for where it listens, without TLS if it can be" = {
    expr = map asked [
      { }
      { virtualHosts.a = { }; }
      { virtualHosts.a.forceSSL = true; }
      { virtualHosts.a.listen = [ { addr = "10.0.0.1"; port = 81; } ]; }
    ];
    expected = [ "nginx.service" "http://127.0.0.1:80/" "http://127.0.0.1:80/" "http://10.0.0.1:81/" ];
  };
  "over TLS it is asked by the name of a host: without one, nginx may refuse it" = {
    expr = map asked [
      { virtualHosts = { _ = { default = true; rejectSSL = true; }; a.forceSSL = true; }; }
      { virtualHosts = { _ = { default = true; rejectSSL = true; listenAddresses = [ "unix:/run/x" ]; }; a = { onlySSL = true; serverName = "rack.example.org"; }; }; }
      { virtualHosts.a = { onlySSL = true; listenAddresses = [ "[::1]" ]; }; }
      { virtualHosts."~^x" = { onlySSL = true; }; }
    ];
    expected = [
      "http://127.0.0.1:80/"
      "--connect-to ::127.0.0.1: https://rack.example.org:443/"
      "--connect-to ::[::1]: https://a:443/"
      "https://127.0.0.1:443/"
    ];
  };
  "what would be without effect, or excludes each other, is refused" = {
    expr = map failed [
      { httpConfig = "server { }"; virtualHosts.a = { }; }
      { virtualHosts.a = { addSSL = true; forceSSL = true; }; }
      { virtualHosts.a = { addSSL = true; sslCertificate = "/a"; }; }
      { virtualHosts.a = { globalRedirect = "b"; root = "/srv"; }; }
      { virtualHosts.a.locations."/" = { proxyPass = "http://b"; return = 404; }; }
    ];
    expected = map lib.singleton [
      "services.nginx.httpConfig is the whole block: services.nginx.virtualHosts and services.nginx.upstreams would be without effect."
      "services.nginx.virtualHosts.a: at most one of addSSL, onlySSL, forceSSL and rejectSSL can be set."
      "services.nginx.virtualHosts.a: sslCertificate and sslCertificateKey belong together."
      "services.nginx.virtualHosts.a.globalRedirect sends every request away: root and locations would be without effect."
      "services.nginx.virtualHosts.a.locations./: only one of proxyPass, uwsgiPass and return, and of root and alias, can be set."
    ];
  };
  "an option of NixOS's that is not offered says so" = {
    expr = failed { recommendedBrotliSettings = true; };
    expected = [
      "services.nginx.recommendedBrotliSettings is not offered: Debian's nginx has gzip only: recommendedGzipSettings."
    ];
  };
  "a misspelt option of a host is named" = {
    expr = (eval { enable = true; virtualHosts.a.forceSsl = true; }).problems;
    expected = [ "The option `services.nginx.virtualHosts.a.forceSsl' does not exist. Defined in appliances/x.nix. Did you mean `services.nginx.virtualHosts.a.forceSSL'?" ];
  };
}
