# What the climate service's options become.
{ lib, modules }:
let
  pkgs = { lichenctl.outPath = "/usr"; climate.outPath = "/usr"; };
  eval = climate: modules.evalAppliance {
    inherit pkgs;
    modules = [{ _file = "appliances/x.nix"; services.climate = { enable = true; } // climate; }];
  };
  json = climate: builtins.fromJSON (eval climate).config.environment.etc."climate/config.json".text;
  unit = lib.splitString "\n" (eval { }).config.environment.etc."systemd/system/climate.service".text;
in
{
  "the service's own defaults are said in its own words" = {
    expr = { inherit (json { }) http sensor; };
    expected = {
      http.port = 8080;
      sensor = { kind = "sense_hat"; bus = "auto"; interval_seconds = 60; compensation.factor = 5.466; };
    };
  };
  "anything else goes through settings" = {
    expr = (json { settings.webhook.timeout = 20; settings.http.max_connections = 10; }) // { sensor = null; history = null; alerts = null; status = null; };
    expected = { http = { port = 8080; max_connections = 10; }; webhook.timeout = 20; sensor = null; history = null; alerts = null; status = null; };
  };
  "status messages are off unless they have an interval" = {
    expr = map (c: (json c).status.enabled) [ { } { statusInterval = 600; } ];
    expected = [ false true ];
  };
  "its history is protected, with the commands that it has for that" = {
    expr = builtins.fromJSON (eval { }).config.environment.etc."lichen/state.json".text;
    expected.climate = {
      version = "1";
      directory = "/var/lib/climate";
      user = "climate";
      backup = "/usr/bin/climate backup -";
      restore = "/usr/bin/climate restore --state-directory \"$DIRECTORY\" /dev/stdin";
    };
  };
  "limits the wrong way round are refused by name and value" = {
    expr = map (a: a.message) (eval { temperature = { min = 30; max = 20; }; }).failedAssertions;
    expected = [ "services.climate.temperature.min (30) must be less than services.climate.temperature.max (20)." ];
  };
  "a value out of its range is refused by name, before the program is asked" = {
    expr = (eval { humidity.max = 101; }).problems;
    expected = [ "A definition for option `services.climate.humidity.max' is not of type `integer or floating point number between 0 and 100 (both inclusive)'. Defined as 101 in appliances/x.nix." ];
  };
  "the firewall is opened only if asked" = {
    expr = map (c: (eval c).config.networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; port = 80; } ];
    expected = [ [ 22 ] [ 22 80 ] ];
  };
  "the unit has a door for its sensors, and no other" = {
    expr = lib.filter (l: lib.hasPrefix "Device" l || lib.hasPrefix "ExecStart" l || lib.hasPrefix "ImportCredential" l) unit;
    expected = [ "DeviceAllow=char-i2c rw" "DevicePolicy=closed" "ExecStart=/usr/bin/climate" "ImportCredential=climate.*" ];
  };
  "simulated, it needs no bus" = {
    expr = map (c: (eval c).config.hardware.i2c.enable) [ { simulate = true; } { } ];
    expected = [ false true ];
  };
  "a bad configuration does not restart for ever" = {
    expr = lib.elem "RestartPreventExitStatus=64" unit;
    expected = true;
  };
}
