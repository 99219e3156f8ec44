# nginx before the rack planner: its options, for a page. A value, not a module, so that the same words run in front of a stand-in for the
# program in the tests of crates/daemons.
#
# Whoever comes from the local network may come without TLS; anybody else is sent to where TLS is. Each address has so many requests a
# second, and so many at a time. What the page is made of is not counted: one view of it is several files.
{ lib }:
# hostName: of the virtual host. application: address and port of the program. https: whether there is TLS, too. trusted: whether others
# vouch for the certificate: only then may browsers be told to come over TLS for good, since they could not be let in any more otherwise.
{ hostName, application, https, trusted }:
let
  inherit (lib) concatLines concatMapStrings optionalString;

  # Headers of every answer, where the program gives none of that name: that of the page knows best what it needs. nginx's own
  # answers, such as a refusal, need nothing.
  headers = {
    "Content-Security-Policy" = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    "X-Frame-Options" = "DENY";
    "X-Content-Type-Options" = "nosniff";
    "Referrer-Policy" = "no-referrer";
    "Permissions-Policy" = "camera=(), microphone=(), geolocation=(), payment=(), usb=()";
  };
  variable = name: "$rack_" + lib.replaceStrings [ "-" ] [ "_" ] (lib.toLower name);
  upstream = name: "$upstream_http_" + lib.replaceStrings [ "-" ] [ "_" ] (lib.toLower name);

  # Private, link-local and unique local addresses, and the device itself: RFC 1918, 3927, 4193 and 4291.
  local = [ "127.0.0.0/8" "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "169.254.0.0/16" "::1" "fe80::/10" "fc00::/7" ];

  outside = optionalString https "if ($rack_needs_tls) { return 301 https://$host$request_uri; }\n";
  atATime = "limit_conn rack_address 10;\n";
  # Of one kind of requests, so many more than its rate are answered at once; what is beyond is refused, not delayed.
  limited = zone: burst: outside + atATime + "limit_req zone=${zone} burst=${toString burst} nodelay;\n";
  # Programs read these answers, so nginx's own are JSON as those of the planner are.
  told = concatLines [ "error_page 413 @rack_large;" "error_page 429 @rack_busy;" "error_page 502 504 =503 @rack_gone;" ];
  says = status: error: details: {
    return = "${toString status} '${builtins.toJSON { inherit error details; }}'";
    extraConfig = "default_type application/json;\n";
  };
  to = path: more: { proxyPass = "http://rack${path}"; recommendedProxySettings = false; } // more;
in
{
  enable = true;
  # A connection to nginx, and one from there to the program.
  eventsConfig = "worker_connections 4096;";
  recommendedGzipSettings = lib.mkDefault true;
  recommendedOptimisation = lib.mkDefault true;
  recommendedTlsSettings = lib.mkDefault true;

  # The program closes a connection that was idle for 75 s. It must not be the first, or a request may be lost on the way.
  upstreams.rack = { servers.${application} = { }; extraConfig = "keepalive 64;\nkeepalive_timeout 60s;"; };

  commonHttpConfig = ''
    limit_req_zone $binary_remote_addr zone=rack_api:1m rate=10r/s;
    limit_req_zone $binary_remote_addr zone=rack_general:1m rate=30r/s;
    limit_conn_zone $binary_remote_addr zone=rack_address:1m;
    geo $rack_local {
      default 0;
    ${concatMapStrings (network: "  ${network} 1;\n") local}}
    map "$scheme $rack_local" $rack_needs_tls {
      default "";
      "http 0" 1;
    }
    map $scheme $rack_hsts {
      default "";
      https "${optionalString trusted "max-age=31536000"}";
    }
    map "$status $upstream_http_retry_after" $rack_retry_after {
      default "";
      "429 " 1;
      "503 " 5;
    }
    ${lib.concatStrings (lib.mapAttrsToList (name: value: ''
      map ${upstream name} ${variable name} {
        default "";
        "" "${value}";
      }
    '') headers)}'';

  virtualHosts.${hostName} = {
    default = lib.mkDefault true;
    addSSL = lib.mkDefault https;
    # Whoever is slow in asking is given up after 12 s, whoever is slow in listening, or asks for nothing more, after 15 s. A request
    # that takes longer than 120 s is the program's own to refuse. That somebody is refused is no error for the journal. Large
    # answers wait in the program's memory: a file for them would wear the card.
    extraConfig = ''
      client_header_timeout 12s;
      client_body_timeout 12s;
      send_timeout 15s;
      keepalive_timeout 15s;
      client_max_body_size 10m;
      limit_req_status 429;
      limit_conn_status 429;
      limit_req_log_level info;
      limit_conn_log_level info;
      proxy_connect_timeout 5s;
      proxy_send_timeout 15s;
      proxy_read_timeout 130s;
      proxy_max_temp_file_size 0;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      add_header Strict-Transport-Security $rack_hsts always;
      add_header Retry-After $rack_retry_after always;
      ${concatMapStrings (name: "add_header ${name} ${variable name} always;\n") (lib.attrNames headers)}'';
    locations = {
      "/" = to "" { extraConfig = limited "rack_general" 20; };
      # Before the expression below: what is exported has such names as well.
      "^~ /api/" = to "" { extraConfig = limited "rack_api" 10 + told; };
      "= /api/health" = to "/health" { extraConfig = limited "rack_api" 10 + told; };
      "^~ /api/health/" = to "/health/" { extraConfig = limited "rack_api" 10 + told; };
      "~ \\.(css|js|mjs|ico|svg|png|webp|woff2|webmanifest)$" = to "" { extraConfig = outside; };
      # For the Prometheus of the device, which asks the program itself.
      "= /metrics".return = 404;
      "@rack_large" = says 413 "too large" "a request may have 10 MB";
      "@rack_busy" = says 429 "too many requests" "an address has 10 requests a second, and 10 at a time";
      "@rack_gone" = says 503 "not running" "the planner is being started, or takes too long";
    };
  };
}
