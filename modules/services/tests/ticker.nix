# What the ticker service's options become.
{ lib, modules }:
let
  pkgs = { lichenctl.outPath = "/usr"; ticker.outPath = "/usr"; };
  eval = ticker: modules.evalAppliance {
    inherit pkgs;
    modules = [{ _file = "appliances/x.nix"; services.ticker = { enable = true; } // ticker; }];
  };
  json = ticker: builtins.fromJSON (eval ticker).config.environment.etc."ticker/config.json".text;
  unit = name: ticker: lib.splitString "\n" (eval ticker).config.environment.etc."systemd/system/${name}".text;
  s3 = { endpoint = "https://s3.example.org"; bucket = "market"; };
in
{
  "sources are passed on, with what the module does not know" = {
    expr = (json { sources = [ { name = "x"; kind = "json"; channels = [ "a" ]; symbols = [ "b" ]; url = "wss://x"; fields.price = "p"; } ]; }).sources;
    expected = [ { name = "x"; kind = "json"; channels = [ "a" ]; symbols = [ "b" ]; url = "wss://x"; fields.price = "p"; } ];
  };
  "without an endpoint there is nothing to sync" = {
    expr = map (s3: (eval { inherit s3; }).config.environment.etc ? "systemd/system/ticker-sync.timer") [ { } s3 ];
    expected = [ false true ];
  };
  "an endpoint without a bucket is refused by name" = {
    expr = map (a: a.message) (eval { s3.endpoint = "https://s3.example.org"; }).failedAssertions;
    expected = [ "services.ticker.s3.bucket must be named when services.ticker.s3.endpoint is set." ];
  };
  "ingest and sync are two units with the same limits and the same data" = {
    expr = map (name: lib.filter (l: lib.hasPrefix "Memory" l && l != "MemoryDenyWriteExecute=true" || lib.hasPrefix "StateDirectory=" l || lib.hasPrefix "ExecStart=" l) (unit name { inherit s3; }))
      [ "ticker.service" "ticker-sync.service" ];
    expected = map (command: [ "ExecStart=/usr/bin/ticker ${command}" "MemoryHigh=1500M" "MemoryMax=2G" "StateDirectory=ticker" ])
      [ "run --stats-interval 30" "sync --include-raw" ];
  };
  "an unreachable storage is no failure" = {
    expr = [ (lib.elem "SuccessExitStatus=75" (unit "ticker-sync.service" { inherit s3; })) ];
    expected = [ true ];
  };
}
