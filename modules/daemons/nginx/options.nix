# The options of nginx's virtual hosts, locations and upstreams: a value, not a module. Names, types and meaning are NixOS's.
{ lib }:
let
  inherit (lib) mkOption types;
  option = type: default: description: mkOption { inherit type default description; };
  text = option (types.nullOr types.str) null;
  flag = option types.bool false;
  # Of a location and of a host alike.
  access = {
    basicAuth = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Users and their passwords. All of it is in the image, so that it keeps out passers-by only.";
    };
    basicAuthFile = option (types.nullOr types.path) null "A file on the device with users and the hashes of their passwords.";
    extraConfig = option types.lines "" "Further directives.";
    root = option (types.nullOr types.path) null "The folder that requests are answered from.";
  };
in
{
  location = {
    options = access // {
      proxyPass = mkOption { type = types.nullOr types.str; default = null; example = "http://127.0.0.1:3000"; description = "The server that requests are passed to."; };
      proxyWebsockets = flag "Whether to pass on WebSockets, too.";
      recommendedProxySettings = option (types.nullOr types.bool) null "Whether the server gets the recommended headers; null for what {option}`services.nginx.recommendedProxySettings` says.";
      uwsgiPass = text "The uWSGI server that requests are passed to.";
      fastcgiParams = option (types.attrsOf (types.either types.str types.path)) { } "Parameters for a FastCGI server.";
      index = text "What is sent for a folder.";
      tryFiles = mkOption { type = types.nullOr types.str; default = null; example = "$uri =404"; description = "The files to look for, in order."; };
      alias = option (types.nullOr types.path) null "The folder that stands for the location.";
      return = mkOption { type = types.nullOr (types.oneOf [ types.str types.int ]); default = null; example = "301 https://example.org$request_uri"; description = "What to answer at once."; };
      priority = option types.int 1000 "Order among the locations; lower comes first.";
    };
  };

  host = location: {
    options = access // {
      serverName = text "The name of the host, if it is not that of the attribute.";
      serverAliases = mkOption { type = types.listOf types.str; default = [ ]; example = [ "www.example.org" ]; description = "Further names of the host."; };
      listen = mkOption {
        default = [ ];
        example = [{ addr = "192.168.0.5"; port = 8443; ssl = true; }];
        description = "Where to listen, in place of what the other options say.";
        type = types.listOf (types.submodule {
          options = {
            addr = mkOption { type = types.str; description = "The address, or `unix:` and a path."; };
            port = option (types.nullOr types.port) null "The port; null for that of HTTP or HTTPS.";
            ssl = flag "Whether it is TLS.";
            proxyProtocol = flag "Whether a proxy tells who the client is.";
            extraParameters = option (types.listOf types.str) [ ] "Further parameters of `listen`.";
          };
        });
      };
      listenAddresses = mkOption { type = types.listOf types.str; default = [ ]; example = [ "127.0.0.1" "[::1]" ]; description = "The addresses to listen on, in place of the default ones."; };
      addSSL = flag "Whether to answer over TLS as well.";
      onlySSL = flag "Whether to answer over TLS only.";
      forceSSL = flag "Whether to send who comes without TLS to where TLS is.";
      rejectSSL = flag "Whether to end TLS connections to this host at once.";
      sslCertificate = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/var/lib/secrets/example.org.pem";
        description = "The file on the device with the certificate; null for one that the device makes and signs itself, and renews in time.";
      };
      sslCertificateKey = option (types.nullOr types.path) null "The file on the device with the certificate's key.";
      sslTrustedCertificate = option (types.nullOr types.path) null "The file with the authorities that client certificates and OCSP answers are checked with.";
      http2 = option types.bool true "Whether to speak HTTP/2 over TLS.";
      default = flag "Whether this host answers requests for hosts that nobody knows.";
      globalRedirect = mkOption { type = types.nullOr types.str; default = null; example = "new.example.org"; description = "The host that all requests are sent to."; };
      redirectCode = option (types.ints.between 300 399) 301 "How requests are sent elsewhere.";
      locations = mkOption {
        type = types.attrsOf (types.submodule location);
        default = { };
        example = { "/".proxyPass = "http://127.0.0.1:3000"; };
        description = "What is answered where, by the beginning of the path.";
      };
      enableACME = flag "Whether to get a certificate from an authority, see {option}`security.acme`. Until it is there, the device signs one itself.";
      useACMEHost = mkOption { type = types.nullOr types.str; default = null; example = "rack.example.org"; description = "The certificate of {option}`security.acme.certs` to use."; };
      acmeRoot = option (types.nullOr types.str) "/run/acme-challenge" "The folder that the authority's questions are answered from; null where it asks for a record of the domain.";
      acmeFallbackHost = mkOption { type = types.nullOr types.str; default = null; internal = true; visible = false; description = "Not offered."; };
    };
  };

  upstream = {
    options = {
      servers = mkOption {
        default = { };
        example = { "127.0.0.1:3000" = { }; "127.0.0.1:3001".backup = true; };
        description = "The servers, each with its parameters.";
        type = types.attrsOf (types.submodule {
          freeformType = types.attrsOf (types.oneOf [ types.bool types.int types.str ]);
          options.backup = flag "Whether it is asked only when the others do not answer.";
        });
      };
      extraConfig = option types.lines "" "Further directives.";
    };
  };
}
