# nginx's options → nginx.conf: a value, not a module.
{ lib, cfg, fileName, certificateOf }:
let
  inherit (lib) concatStrings mapAttrsToList optional optionals optionalString;

  indented = prefix: lines: concatStrings (map (line: optionalString (line != "") "${prefix}${line}" + "\n") lines);
  block = name: lines: [ "${name} {" ] ++ map (line: optionalString (line != "") "  ${line}") lines ++ [ "}" ];
  own = text: if text == "" then [ ] else lib.splitString "\n" (lib.removeSuffix "\n" text);
  given = directive: value: optional (value != null) "${directive} ${toString value};";
  quoted = text: "\"${lib.escape [ "\\" "\"" ] text}\"";

  sortedHosts = lib.sortOn (h: h.name) (mapAttrsToList (name: host: host // { inherit name; serverName = if host.serverName != null then host.serverName else name; }) cfg.virtualHosts);
  usesACME = host: host.enableACME || host.useACMEHost != null;
  tls = host: host.addSSL || host.onlySSL || host.forceSSL;

  # --- access
  passwordFile = name: access:
    if access.basicAuthFile != null then access.basicAuthFile
    else if access.basicAuth != { } then "/etc/nginx/passwords/${fileName name}" else null;
  authenticated = name: access:
    let file = passwordFile name access; in
    optionals (file != null) [ "auth_basic \"secured\";" "auth_basic_user_file ${file};" ];

  # --- locations
  location = host: path: l: block "location ${path}" (
    given "proxy_pass" l.proxyPass
    ++ optionals l.proxyWebsockets [
      "proxy_http_version 1.1;"
      "proxy_set_header Upgrade $http_upgrade;"
      "proxy_set_header Connection $connection_upgrade;"
    ]
    ++ given "uwsgi_pass" l.uwsgiPass
    ++ mapAttrsToList (name: value: "fastcgi_param ${name} ${quoted (toString value)};") l.fastcgiParams
    ++ given "index" l.index
    ++ given "try_files" l.tryFiles
    ++ given "root" l.root
    ++ given "alias" l.alias
    ++ given "return" l.return
    ++ own l.extraConfig
    ++ optionals (l.proxyPass != null && recommendedFor l) (proxyHeaders ++ optional (!l.proxyWebsockets) keptAlive)
    ++ authenticated "${host} ${path}" l);
  recommendedFor = l: if l.recommendedProxySettings == null then cfg.recommendedProxySettings else l.recommendedProxySettings;
  proxyHeaders = [
    "proxy_set_header Host $host;"
    "proxy_set_header X-Real-IP $remote_addr;"
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    "proxy_set_header X-Forwarded-Proto $scheme;"
    "proxy_set_header X-Forwarded-Host $host;"
    "proxy_set_header X-Forwarded-Server $hostname;"
  ];
  locations = host: lib.concatMap (l: location host.name l.name l.value)
    (lib.sortOn (l: l.value.priority) (mapAttrsToList lib.nameValuePair host.locations));

  # --- hosts
  listened = host:
    if host.listen != [ ] then host.listen
    else
      let
        addresses = if host.listenAddresses != [ ] then host.listenAddresses else cfg.defaultListenAddresses;
        at = addr: port: ssl: { inherit addr port ssl; proxyProtocol = false; extraParameters = [ ]; };
      in
      lib.concatMap (addr: optional (tls host || host.rejectSSL) (at addr cfg.defaultSSLListenPort true)) addresses
      ++ lib.concatMap (addr: optional (!host.onlySSL) (at addr cfg.defaultHTTPListenPort false)) addresses;
  portOf = l: if l.port != null then l.port else if l.ssl then cfg.defaultSSLListenPort else cfg.defaultHTTPListenPort;
  listen = host: l:
    "listen ${l.addr}${optionalString (!lib.hasPrefix "unix:" l.addr) ":${toString (portOf l)}"}"
    + optionalString host.default " default_server" + optionalString l.ssl " ssl" + optionalString l.proxyProtocol " proxy_protocol"
    + concatStrings (map (parameter: " ${parameter}") l.extraParameters) + ";";
  # What an authority asks for before it gives a certificate.
  challenge = host: optionals (usesACME host && host.acmeRoot != null)
    (block "location ^~ /.well-known/acme-challenge/" [ "root ${host.acmeRoot};" "auth_basic off;" ]);
  names = host: "server_name ${lib.concatStringsSep " " ([ host.serverName ] ++ host.serverAliases)};";
  server = host:
    let
      ports = listened host;
      redirecting = host.forceSSL;
      secure = lib.filter (l: l.ssl) ports;
      plain = lib.filter (l: !l.ssl) ports;
      certificate = certificateOf host.name host;
    in
    optionals redirecting (block "server" (map (listen host) plain ++ [ (names host) ] ++ challenge host ++ block "location /" [ "return ${toString host.redirectCode} https://$host$request_uri;" ]) ++ [ "" ])
    ++ block "server" (
      map (listen host) (if redirecting then secure else ports)
      ++ [ (names host) ]
      ++ optionals (tls host) ([ "http2 ${if host.http2 then "on" else "off"};" "ssl_certificate ${certificate.certificate};" "ssl_certificate_key ${certificate.key};" ]
        ++ given "ssl_trusted_certificate" host.sslTrustedCertificate)
      ++ optional host.rejectSSL "ssl_reject_handshake on;"
      ++ given "root" host.root
      ++ optionals (!redirecting) (challenge host)
      ++ (if host.globalRedirect != null then block "location /" [ "return ${toString host.redirectCode} $scheme://${host.globalRedirect}$request_uri;" ] else [ ])
      ++ authenticated host.name host
      ++ locations host
      ++ own host.extraConfig)
    ++ [ "" ];

  upstream = name: u: block "upstream ${name}" (
    mapAttrsToList
      (address: parameters: "server ${address}${concatStrings (mapAttrsToList
        (key: value: if value == false then "" else if value == true then " ${key}" else " ${key}=${toString value}") parameters)};")
      u.servers
    ++ own u.extraConfig) ++ [ "" ];

  # --- what is recommended
  optimised = [
    "sendfile on;"
    "tcp_nopush on;"
    "tcp_nodelay on;"
    "keepalive_timeout 65;"
  ];
  safeTls = [
    "ssl_session_timeout 1d;"
    "ssl_session_cache shared:SSL:2m;"
    "ssl_session_tickets off;"
    "ssl_prefer_server_ciphers off;"
  ];
  compressed = [
    "gzip on;"
    "gzip_static on;"
    "gzip_vary on;"
    "gzip_comp_level 5;"
    "gzip_min_length 256;"
    "gzip_proxied expired no-cache no-store private auth;"
    "gzip_types application/atom+xml application/geo+json application/javascript application/json application/ld+json application/manifest+json application/rdf+xml application/vnd.ms-fontobject application/wasm application/x-rss+xml application/x-web-app-manifest+json application/xhtml+xml application/xliff+xml application/xml font/collection font/otf font/ttf image/bmp image/svg+xml image/vnd.microsoft.icon text/cache-manifest text/calendar text/css text/csv text/javascript text/markdown text/plain text/vcard text/vnd.rim.location.xloc text/vtt text/x-component text/xml;"
  ];
  proxied = [
    "proxy_redirect off;"
    "proxy_connect_timeout ${cfg.proxyTimeout};"
    "proxy_send_timeout ${cfg.proxyTimeout};"
    "proxy_read_timeout ${cfg.proxyTimeout};"
    "proxy_http_version 1.1;"
    keptAlive
  ];
  # What a connection to a server needs to be used again.
  keptAlive = "proxy_set_header Connection \"\";";

  temporary = kind: "${kind}_temp_path /var/cache/nginx/${kind};";
  http =
    [
      "include /etc/nginx/mime.types;"
      "default_type application/octet-stream;"
      "types_hash_max_size 4096;"
      "server_names_hash_bucket_size ${toString cfg.serverNamesHashBucketSize};"
      "server_tokens ${if cfg.serverTokens then "on" else "off"};"
      "client_max_body_size ${cfg.clientMaxBodySize};"
      "ssl_protocols ${cfg.sslProtocols};"
    ]
    ++ given "ssl_ciphers" cfg.sslCiphers
    ++ given "ssl_dhparam" cfg.sslDhparam
    ++ map temporary [ "client_body" "proxy" "fastcgi" "uwsgi" "scgi" ]
    # A line per request wears the card. A host, or commonHttpConfig, may have them all the same.
    ++ optional (!lib.hasInfix "access_log" (cfg.commonHttpConfig + cfg.appendHttpConfig)) "access_log off;"
    ++ optionals cfg.recommendedOptimisation optimised
    ++ optionals cfg.recommendedTlsSettings safeTls
    ++ optionals cfg.recommendedGzipSettings compressed
    ++ optionals cfg.recommendedProxySettings (proxied ++ proxyHeaders)
    ++ optionals (cfg.resolver.addresses != [ ]) [
      "resolver ${lib.concatStringsSep " " cfg.resolver.addresses}${optionalString (cfg.resolver.valid != "") " valid=${cfg.resolver.valid}"}${optionalString (!cfg.resolver.ipv6) " ipv6=off"};"
    ]
    ++ block "map $http_upgrade $connection_upgrade" [ "default upgrade;" "'' close;" ]
    ++ own cfg.commonHttpConfig
    ++ [ "" ]
    ++ lib.concatLists (mapAttrsToList upstream cfg.upstreams)
    ++ lib.concatMap server sortedHosts
    # On the addresses of the hosts: one of its own would take from them what comes there.
    ++ optionals cfg.statusPage (block "server" (
      map (address: "listen ${address}:${toString cfg.defaultHTTPListenPort};") cfg.defaultListenAddresses
      ++ [ "server_name localhost;" ]
      ++ block "location = /nginx_status" [ "stub_status on;" "allow 127.0.0.1;" "allow ::1;" "deny all;" ]))
    ++ own cfg.appendHttpConfig;
in
{
  text = indented "" (
    [
      "pid /run/nginx/nginx.pid;"
      "error_log ${cfg.logError};"
      "worker_processes auto;"
      "pcre_jit off;"
    ]
    ++ block "events" (own cfg.eventsConfig)
    ++ (if cfg.httpConfig != "" then block "http" (own cfg.httpConfig) else block "http" http)
    ++ own cfg.appendConfig);

  # Files of passwords: path → text.
  passwords =
    let
      of = name: access: lib.optionalAttrs (access.basicAuthFile == null && access.basicAuth != { }) {
        "nginx/passwords/${fileName name}" = concatStrings (mapAttrsToList (user: password: "${user}:{PLAIN}${password}\n") access.basicAuth);
      };
    in
    lib.mergeAttrsList (lib.concatMap
      (host: [ (of host.name host) ] ++ mapAttrsToList (path: l: of "${host.name} ${path}" l) host.locations)
      sortedHosts);

  # What curl is told to reach nginx on this device, or null. Without TLS if that is possible: a handshake may be refused for reasons
  # of others. With TLS the name of the host counts.
  reached =
    let
      places = lib.concatMap (host: map (l: { inherit host l; }) (lib.filter (l: !(l.ssl && host.rejectSSL)) (listened host))) sortedHosts;
      usable = lib.filter (place: !lib.hasPrefix "unix:" place.l.addr && !place.l.proxyProtocol) places;
      first = lib.head (lib.filter (place: !place.l.ssl) usable ++ usable);
      addr = if lib.elem first.l.addr [ "0.0.0.0" "[::0]" "[::]" "*" ] then "127.0.0.1" else first.l.addr;
      name = first.host.serverName;
      named = first.l.ssl && builtins.match "[a-zA-Z0-9.-]+" name != null;
    in
    if usable == [ ] then null
    else if named then "--connect-to ::${addr}: https://${name}:${toString (portOf first.l)}/"
    else "${if first.l.ssl then "https" else "http"}://${addr}:${toString (portOf first.l)}/";

  inherit usesACME;
  hosts = sortedHosts;

  # Hosts that answer over TLS.
  secured = lib.filter tls sortedHosts;
}
