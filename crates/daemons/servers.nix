# The page of the servers that the tests of this crate run: what their modules make of it is what runs.
{ lib, ... }:
let
  # nginx as it is before the rack planner, with a certificate as if others vouched for it.
  planner = import ../../modules/services/rack/nginx.nix { inherit lib; } {
    hostName = "planner.test";
    application = "127.0.0.1:8084";
    https = true;
    trusted = true;
  };
in
{
  services.postgresql = {
    enable = true;
    ensureDatabases = [ "rack" ];
    ensureUsers = [ { name = "rack"; ensureDBOwnership = true; } ];
  };
  users.users.rack = { isSystemUser = true; group = "rack"; uid = 1000; };
  users.groups.rack.gid = 1000;

  services.redis.servers = {
    cache.enable = true;
    always = { enable = true; appendOnly = true; appendFsync = "always"; };
    everysec = { enable = true; appendOnly = true; };
  };

  services.prometheus = {
    enable = true;
    listenAddress = "127.0.0.1";
    globalConfig.scrape_interval = "50ms";
    globalConfig.scrape_timeout = "50ms";
    # Hours become seconds: blocks are written, and the log is cut off, within a minute.
    extraFlags = [ "--storage.tsdb.min-block-duration=6s" "--storage.tsdb.max-block-duration=54s" ];
    scrapeConfigs = [ { job_name = "load"; static_configs = [ { targets = [ "127.0.0.1:9100" ]; } ]; } ];
  };

  # An authority of the test, which is at that address.
  security.acme = {
    acceptTerms = true;
    defaults.email = "rack@example.org";
    defaults.server = "https://127.0.0.1:14000/dir";
  };
  systemd.services."acme-rack.test".environment.LEGO_CA_CERTIFICATES = "/run/authority.pem";
  services.nginx = lib.mkMerge [
    planner
    {
      defaultHTTPListenPort = 8080;
      defaultSSLListenPort = 8443;
      virtualHosts."rack.test" = { enableACME = true; forceSSL = true; serverAliases = [ "www.rack.test" ]; locations."/".return = "204"; };
    }
  ];
}
