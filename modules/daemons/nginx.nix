# Debian's nginx with NixOS's options. It never is root: it may only bind to the ports below 1024. Hosts with TLS and no certificate
# of their own get one that the device signs itself, or one from an authority.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault mkEnableOption mkIf mkOption types;
  daemon = import ./common/daemon.nix { inherit lib; };
  options = import ./nginx/options.nix { inherit lib; };
  cfg = config.services.nginx;
  rendered = import ./nginx/render.nix { inherit lib cfg fileName certificateOf; };
  option = type: default: description: mkOption { inherit type default description; };
  recommended = what: option types.bool false "Whether to have the recommended settings for ${what}.";

  # A name of a file, another one for each name.
  fileName = name:
    let plain = lib.strings.sanitizeDerivationName name; in
    if plain == name then name else "${plain}-${lib.substring 0 8 (builtins.hashString "sha256" name)}";
  ownCertificate = name: "nginx-${fileName name}";
  certificateOf = name: host:
    if host.sslCertificate != null then { certificate = host.sslCertificate; key = host.sslCertificateKey; }
    else if rendered.usesACME host then let file = "${config.security.acme.certs.${acmeName host}.directory}/full.pem"; in { certificate = file; key = file; }
    else let file = config.lichen.selfSignedCertificates.${ownCertificate name}.file; in { certificate = file; key = file; };
  acmeName = host: if host.useACMEHost != null then host.useACMEHost else host.serverName;
  fromAuthority = lib.filter rendered.usesACME rendered.hosts;
  selfSigned = lib.filter (host: host.sslCertificate == null && ! rendered.usesACME host) rendered.secured;
  # Those that the device signs itself, for good or for the time being.
  signedHere = map (host: ownCertificate host.name) selfSigned ++ lib.unique (map (host: "acme-${acmeName host}") fromAuthority);
  nginx = "${pkgs.nginx}/sbin/nginx";
  brought = lib.unique (lib.concatMap (host: let c = certificateOf host.name host; in [ c.certificate c.key ] ++ lib.optional (host.sslTrustedCertificate != null) host.sslTrustedCertificate) rendered.secured);
in
{
  imports = [
    (import ./common/not-offered.nix [ "services" "nginx" ] {
      additionalModules = "Debian's nginx is used as it is.";
      config = "write appendConfig, eventsConfig, httpConfig or appendHttpConfig.";
      enableReload = "it is always so: a change of hosts reloads nginx.";
      package = "Debian 13 has one nginx, 1.26.";
      preStart = "write systemd.services.nginx.preStart.";
      proxyCachePath = "caches of answers belong into the memory of the server that made them; write commonHttpConfig.";
      recommendedBrotliSettings = "Debian's nginx has gzip only: recommendedGzipSettings.";
      recommendedUwsgiSettings = "write the location's extraConfig.";
      recommendedZstdSettings = "Debian's nginx has gzip only: recommendedGzipSettings.";
      streamConfig = "Debian's nginx passes on HTTP only.";
    })
  ];

  options.services.nginx = {
    enable = mkEnableOption "nginx";
    user = option types.str "nginx" "The user that it runs as.";
    group = option types.str "nginx" "The group that it runs as.";
    recommendedGzipSettings = recommended "compressed answers";
    recommendedOptimisation = recommended "throughput";
    recommendedProxySettings = recommended "servers that requests are passed to";
    recommendedTlsSettings = recommended "TLS";
    proxyTimeout = mkOption { type = types.str; default = "60s"; example = "20s"; description = "How long a server may take, with {option}`services.nginx.recommendedProxySettings`."; };
    defaultListenAddresses = mkOption { type = types.listOf types.str; default = [ "0.0.0.0" "[::0]" ]; example = [ "10.0.0.12" ]; description = "The addresses that hosts listen on which name none."; };
    defaultHTTPListenPort = option types.port 80 "The port of HTTP.";
    defaultSSLListenPort = option types.port 443 "The port of HTTPS.";
    logError = option types.str "stderr" "Where errors are written, and from which level on.";
    serverTokens = option types.bool false "Whether answers tell nginx's version.";
    clientMaxBodySize = option types.str "10m" "How large a request may be.";
    sslProtocols = mkOption { type = types.str; default = "TLSv1.2 TLSv1.3"; example = "TLSv1.3"; description = "The versions of TLS."; };
    sslCiphers = mkOption {
      type = types.nullOr types.str;
      default = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
      description = "The ciphers of TLS 1.2.";
    };
    serverNamesHashBucketSize = option types.ints.positive 128 "How long names of hosts may be, in bytes.";
    sslDhparam = option (types.nullOr types.path) null "The file on the device with parameters for Diffie-Hellman.";
    resolver = mkOption {
      default = { };
      description = "Whom to ask for addresses of hosts that are named by a variable.";
      type = types.submodule {
        options = {
          addresses = mkOption { type = types.listOf types.str; default = [ ]; example = [ "127.0.0.53" ]; description = "Servers of names."; };
          valid = option types.str "" "How long an answer counts, if not as long as it says.";
          ipv6 = option types.bool true "Whether to ask for IPv6 addresses, too.";
        };
      };
    };
    statusPage = option types.bool false "Whether the device itself finds its figures at {file}`/nginx_status`.";
    eventsConfig = option types.lines "" "Directives of the block `events`.";
    commonHttpConfig = option types.lines "" "Directives of the block `http`, before the hosts.";
    appendHttpConfig = option types.lines "" "Directives of the block `http`, after the hosts.";
    httpConfig = option types.lines "" "The whole block `http`, in place of what the other options say.";
    appendConfig = option types.lines "" "Directives outside of all blocks.";
    upstreams = mkOption {
      type = types.attrsOf (types.submodule options.upstream);
      default = { };
      example = { app = { servers."127.0.0.1:3000" = { }; extraConfig = "keepalive 16;"; }; };
      description = "Groups of servers, by name.";
    };
    virtualHosts = mkOption {
      type = types.attrsOf (types.submodule (options.host options.location));
      default = { };
      example = { "rack.example.org" = { forceSSL = true; locations."/".proxyPass = "http://127.0.0.1:3000"; }; };
      description = "The hosts, by name.";
    };
  };

  config = mkIf cfg.enable (lib.mkMerge [
    {
      lichen.pages =
        let
          opened = lib.filter (port: lib.elem port config.networking.firewall.allowedTCPPorts);
          page = scheme: port: { inherit scheme port; };
        in
        map (page "https") (opened [ cfg.defaultSSLListenPort ]) ++ map (page "http") (opened [ cfg.defaultHTTPListenPort ]);
      assertions = [
        { assertion = cfg.httpConfig == "" || cfg.virtualHosts == { } && cfg.upstreams == { }; message = "services.nginx.httpConfig is the whole block: services.nginx.virtualHosts and services.nginx.upstreams would be without effect."; }
      ] ++ lib.concatLists (lib.mapAttrsToList
        (name: host:
          let the = "services.nginx.virtualHosts.${name}"; in
          [
            { assertion = !host.enableACME || host.useACMEHost == null; message = "${the}: only one of enableACME and useACMEHost can be set."; }
            { assertion = !rendered.usesACME host || host.sslCertificate == null; message = "${the}: sslCertificate is another certificate than that of enableACME or useACMEHost."; }
            { assertion = !host.enableACME || !host.onlySSL || host.acmeRoot == null; message = "${the}.enableACME: the authority asks on port 80, so write forceSSL or addSSL in place of onlySSL."; }
            { assertion = host.acmeFallbackHost == null; message = "${the}.acmeFallbackHost is not offered: the device that has the certificate answers for it."; }
            { assertion = lib.count lib.id [ host.addSSL host.onlySSL host.forceSSL host.rejectSSL ] <= 1; message = "${the}: at most one of addSSL, onlySSL, forceSSL and rejectSSL can be set."; }
            { assertion = (host.sslCertificate == null) == (host.sslCertificateKey == null); message = "${the}: sslCertificate and sslCertificateKey belong together."; }
            { assertion = host.globalRedirect == null || host.root == null && host.locations == { }; message = "${the}.globalRedirect sends every request away: root and locations would be without effect."; }
          ] ++ lib.mapAttrsToList
            (path: l: {
              assertion = lib.count (v: v != null) [ l.proxyPass l.uwsgiPass l.return ] <= 1 && (l.root == null || l.alias == null);
              message = "${the}.locations.${path}: only one of proxyPass, uwsgiPass and return, and of root and alias, can be set.";
            })
            host.locations)
        cfg.virtualHosts);

      environment.etc = { "nginx/nginx.conf".text = rendered.text; } // lib.mapAttrs (_: text: { inherit text; mode = "0640"; inherit (cfg) group; }) rendered.passwords;

      lichen.selfSignedCertificates = lib.listToAttrs (map
        (host: lib.nameValuePair (ownCertificate host.name) {
          names = lib.filter (name: builtins.match "[*]?[a-zA-Z0-9.-]+" name != null) ([ host.serverName ] ++ host.serverAliases);
          inherit (cfg) group;
          unit = "nginx.service";
        })
        selfSigned);

      security.acme.certs = lib.mkMerge (map
        (host: {
          ${acmeName host} = { reloadServices = [ "nginx.service" ]; } // lib.optionalAttrs host.enableACME {
            extraDomainNames = host.serverAliases;
            webroot = mkDefault host.acmeRoot;
          };
        })
        fromAuthority);

      lichen.configurationChecks.nginx = {
        packages = [ pkgs.nginx pkgs.openssl ];
        etc = [ "nginx/nginx.conf" ];
        script = ''
          mkdir -p /var/cache/nginx /run/nginx
          # Certificates are only on the device.
          device /usr/bin/openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=check -keyout pem.key -out pem.crt 2> log || { cat log; exit 1; }
          cat pem.key pem.crt > pem
          # Nor may a build use the low ports: 80 is 6080 here, and 443 is 60443.
          sed -E -i 's/^( *listen +([^ ;]*:)?)([0-9]{1,3})([ ;])/\160\3\4/' root/etc/nginx/nginx.conf
          for file in ${lib.escapeShellArgs brought}; do mkdir -p root$(dirname $file); cp pem root$file; done
          device /usr/sbin/nginx -t > log 2>&1 || { cat log; echo "error: services.nginx: nginx refuses its configuration (above)"; exit 1; }
        '';
      };
    }
    (daemon "nginx" {
      inherit (cfg) user group;
      # Any answer will do, also none (52): hosts may want certain names, certificates, passwords. nginx itself refuses TRACE, so that no
      # application is asked by the device, which nobody has visited.
      health =
        if rendered.reached == null then { unit = "nginx.service"; }
        else { command = "curl -sko /dev/null -X TRACE -m 8 ${rendered.reached}; case $? in 0 | 52) ;; *) exit 1 ;; esac"; };
      definition = {
        description = "nginx";
        reloadTriggers = [ rendered.text ] ++ lib.attrValues rendered.passwords;
        serviceConfig = {
          # Started is what has its ports.
          Type = "forking";
          PIDFile = "/run/nginx/nginx.pid";
          ExecStart = nginx;
          # A switch starts what is new after it has reloaded what was there: the certificate of a new host would be missing.
          ExecReload = map (name: "+/usr/bin/systemctl start self-signed-${name}.service") signedHere
            ++ [ "${nginx} -t -q" "/bin/kill -HUP $MAINPID" ];
          # Requests that are being answered are answered.
          KillSignal = "SIGQUIT";
          TimeoutStopSec = "30s";
          AmbientCapabilities = [ "CAP_NET_BIND_SERVICE" ];
          CapabilityBoundingSet = [ "CAP_NET_BIND_SERVICE" ];
          # The right to bind to ports counts only in the device's own user namespace.
          PrivateUsers = false;
          RuntimeDirectory = "nginx";
          RuntimeDirectoryMode = "0750";
          CacheDirectory = "nginx";
          CacheDirectoryMode = "0750";
          LogsDirectory = "nginx";
          LogsDirectoryMode = "0750";
          SupplementaryGroups = lib.unique (map (host: config.security.acme.certs.${acmeName host}.group) fromAuthority);
          UMask = "0027";
          LimitNOFILE = 65536;
          MemoryMax = mkDefault "128M";
          TasksMax = mkDefault 64;
        };
      };
    })
  ]);
}
