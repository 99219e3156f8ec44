# The page of docs/how-to/serve-a-web-application.md in place of climate, with every other daemon that a page can ask for beside
# it, and a Prometheus that watches all of them.
{ lib, ... }:
let
  address = exporter: { job_name = exporter.name; static_configs = [{ targets = [ "127.0.0.1:${toString exporter.port}" ]; }]; };
in
{
  imports = [ ../../modules/daemons/tests/how-to/web.nix ];
  networking.hostName = lib.mkForce "visits";
  services.climate.enable = lib.mkForce false;

  # A cache for everybody on the device, and a server for the application alone, which keeps what it is told.
  services.redis.servers = {
    "".enable = true;
    visits = { enable = true; appendOnly = true; requirePassFile = "/var/lib/visits.password"; };
  };
  users.users.visits.extraGroups = [ "redis" ];

  services.prometheus = {
    enable = true;
    listenAddress = "127.0.0.1";
    globalConfig = { scrape_interval = "15s"; evaluation_interval = "15s"; };
    scrapeConfigs = map address [
      { name = "prometheus"; port = 9090; }
      { name = "alertmanager"; port = 9093; }
      { name = "node"; port = 9100; }
      { name = "nginx"; port = 9113; }
      { name = "redis"; port = 9121; }
      { name = "postgres"; port = 9187; }
    ];
    rules = [ ''{"groups": [{"name": "story", "rules": [{"alert": "Scraped", "expr": "sum(pg_up) + sum(redis_up) + sum(nginx_up) == 3"}]}]}'' ];
    alertmanagers = [{ static_configs = [{ targets = [ "127.0.0.1:9093" ]; }]; }];
    alertmanager = {
      enable = true;
      listenAddress = "127.0.0.1";
      configuration = { route.receiver = "nobody"; receivers = [{ name = "nobody"; }]; };
    };
    exporters = lib.genAttrs [ "node" "nginx" "redis" "postgres" ] (_: { enable = true; listenAddress = "127.0.0.1"; });
  };
}
